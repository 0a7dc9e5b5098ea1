//! The paths of the HTTP API, and what each method does there.
//!
//! Owns the table, and the way from a path to its row. Never reads a parameter.

use std::sync::LazyLock;

use matchit::{Params, Router};

/// What may be asked for. Its name is the `operationId` of the OpenAPI document, and the label of
/// the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Health,
    Document,
    Publish,
    Broadcast,
    PublishToUser,
    Rooms,
    Members,
    Unsubscribe,
    Connections,
    Disconnect,
    DisconnectUser,
    Revoke,
    Revocations,
    Unrevoke,
    Ticket,
}

/// A path, and the methods that it has.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) path: &'static str,
    /// The methods, as Allow lists them.
    pub(super) allow: &'static str,
    operations: &'static [(&'static str, Operation)],
}

static ROUTES: [Route; 13] = [
    Route::new("/api/health", "GET, HEAD, OPTIONS", &[("GET", Operation::Health)]),
    Route::new("/api/openapi.json", "GET, HEAD, OPTIONS", &[("GET", Operation::Document)]),
    Route::new("/api/publish", "POST, OPTIONS", &[("POST", Operation::Publish)]),
    Route::new("/api/broadcast", "POST, OPTIONS", &[("POST", Operation::Broadcast)]),
    Route::new("/api/users/{user}", "DELETE, OPTIONS", &[("DELETE", Operation::DisconnectUser)]),
    Route::new("/api/users/{user}/publish", "POST, OPTIONS", &[("POST", Operation::PublishToUser)]),
    Route::new("/api/rooms", "GET, HEAD, OPTIONS", &[("GET", Operation::Rooms)]),
    Route::new("/api/rooms/{room}", "GET, HEAD, OPTIONS", &[("GET", Operation::Members)]),
    Route::new(
        "/api/rooms/{room}/members/{user}",
        "DELETE, OPTIONS",
        &[("DELETE", Operation::Unsubscribe)],
    ),
    Route::new("/api/connections", "GET, HEAD, OPTIONS", &[("GET", Operation::Connections)]),
    Route::new("/api/connections/{id}", "DELETE, OPTIONS", &[("DELETE", Operation::Disconnect)]),
    Route::new(
        "/api/revocations",
        "GET, HEAD, POST, DELETE, OPTIONS",
        &[
            ("GET", Operation::Revocations),
            ("POST", Operation::Revoke),
            ("DELETE", Operation::Unrevoke),
        ],
    ),
    Route::new("/api/tickets", "POST, OPTIONS", &[("POST", Operation::Ticket)]),
];

static ROUTER: LazyLock<Router<&'static Route>> = LazyLock::new(|| {
    let mut router = Router::new();
    for route in &ROUTES {
        if let Err(error) = router.insert(route.path, route) {
            tracing::error!(%error, path = route.path, "two paths of the API are one");
        }
    }
    router
});

/// The row of a path, and what stands in the places of its parameters: as it came, not decoded.
pub(super) fn find(path: &str) -> Option<(&'static Route, Params<'static, '_>)> {
    let found = ROUTER.at(path).ok()?;
    Some((*found.value, found.params))
}

impl Route {
    const fn new(
        path: &'static str,
        allow: &'static str,
        operations: &'static [(&'static str, Operation)],
    ) -> Self {
        Self { path, allow, operations }
    }

    /// What a method does here. HEAD is GET, of whose answer the body is left out.
    pub(super) fn operation(&self, method: &str) -> Option<Operation> {
        let method = if method == "HEAD" { "GET" } else { method };
        self.operations.iter().find(|(name, _)| *name == method).map(|(_, operation)| *operation)
    }
}

impl Operation {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Document => "openapi",
            Self::Publish => "publish",
            Self::Broadcast => "broadcast",
            Self::PublishToUser => "publish_to_user",
            Self::Rooms => "rooms",
            Self::Members => "members",
            Self::Unsubscribe => "unsubscribe",
            Self::Connections => "connections",
            Self::Disconnect => "disconnect",
            Self::DisconnectUser => "disconnect_user",
            Self::Revoke => "revoke",
            Self::Revocations => "revocations",
            Self::Unrevoke => "unrevoke",
            Self::Ticket => "ticket",
        }
    }

    /// Whether anybody may ask.
    pub(super) const fn is_open(self) -> bool {
        matches!(self, Self::Health | Self::Document)
    }

    /// Whether something is different afterwards. A page that is not on the list must not.
    pub(super) const fn changes(self) -> bool {
        match self {
            Self::Health
            | Self::Document
            | Self::Rooms
            | Self::Members
            | Self::Connections
            | Self::Revocations => false,
            Self::Publish
            | Self::Broadcast
            | Self::PublishToUser
            | Self::Unsubscribe
            | Self::Disconnect
            | Self::DisconnectUser
            | Self::Revoke
            | Self::Unrevoke
            | Self::Ticket => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::hub::api::DOCUMENT;

    /// Path, method and operation of each entry of the document.
    fn documented() -> BTreeSet<(String, String, String)> {
        let document: Value = serde_json::from_slice(DOCUMENT).unwrap();
        let mut found = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            let methods = item.as_object().unwrap().iter();
            for (method, operation) in methods.filter(|(name, _)| *name != "parameters") {
                let name = operation["operationId"].as_str().unwrap();
                found.insert((path.clone(), method.to_uppercase(), name.into()));
            }
        }
        found
    }

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let routes = ROUTES.iter().flat_map(|route| {
            let named = |(method, operation): &(&str, Operation)| {
                (route.path.to_owned(), (*method).to_owned(), operation.name().to_owned())
            };
            route.operations.iter().map(named)
        });
        assert_eq!(routes.collect::<BTreeSet<_>>(), documented());
    }

    #[test]
    fn every_route_is_found_and_says_what_it_takes() {
        for route in &ROUTES {
            let path = route.path.replace("{user}", "a%2Fb").replace("{room}", "r");
            let path = path.replace("{id}", "0.1.2");
            let (found, _) = find(&path).unwrap();
            assert_eq!(found.path, route.path);
            let takes = |method: &&str| route.operation(method).is_some() || *method == "OPTIONS";
            let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get"];
            let methods: Vec<_> = methods.into_iter().filter(takes).collect();
            assert_eq!(methods.join(", "), route.allow, "{path}");
        }
        for path in ["/api", "/api/", "/api/rooms/", "/api/rooms/a/b", "/api/health/", "/apix"] {
            assert!(find(path).is_none(), "{path}");
        }
    }
}
