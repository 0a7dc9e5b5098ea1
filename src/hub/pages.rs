//! What the hub serves over plain HTTP.
//!
//! Owns the routes, and the files that are embedded in the program. Never reads a file.

use std::sync::LazyLock;

use crate::handshake::HandshakeError;
use crate::http::{self, Response};

/// An embedded file.
struct File {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

const FILES: [File; 16] = [
    File {
        path: "/",
        content_type: "text/html; charset=utf-8",
        bytes: include_bytes!("page/index.html"),
    },
    File {
        path: "/chat.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("page/chat.css"),
    },
    File {
        path: "/chat.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("page/chat.js"),
    },
    File {
        path: "/throng.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("page/throng.js"),
    },
    File {
        path: "/throng.d.ts",
        content_type: "text/plain; charset=utf-8",
        bytes: include_bytes!("page/throng.d.ts"),
    },
    File {
        path: "/throng.v1.proto",
        content_type: "text/plain; charset=utf-8",
        bytes: include_bytes!("../../docs/throng.v1.proto"),
    },
    File {
        path: "/icon.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("page/icon.svg"),
    },
    File {
        path: "/admin",
        content_type: "text/html; charset=utf-8",
        bytes: include_bytes!("page/admin.html"),
    },
    File {
        path: "/admin.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("page/admin.css"),
    },
    File {
        path: "/admin.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("page/admin.js"),
    },
    File {
        path: "/admin-charts.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("page/admin-charts.js"),
    },
    File {
        path: "/admin-feed.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("page/admin-feed.js"),
    },
    File {
        path: "/admin-inspector.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("page/admin-inspector.js"),
    },
    File {
        path: "/admin-words.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("page/admin-words.js"),
    },
    File {
        path: "/uplot.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../assets/uplot/uPlot.min.css"),
    },
    File {
        path: "/uplot.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../assets/uplot/uPlot.iife.min.js"),
    },
];

/// `/throng.js` as it is served: its lines that are comments, and how far each is indented, are a
/// quarter of its compressed size. No text in it goes over the end of a line.
static LEAN: LazyLock<String> = LazyLock::new(|| {
    let lines = include_str!("page/throng.js").lines().map(str::trim_start);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect()
});

/// What a page may load, and who may frame it: itself, and nobody.
const POLICY: &str = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Answers a request that is no handshake.
pub(super) fn respond(head: &http::Request<'_>) -> Response {
    let path = head.path();
    let is_known = FILES.iter().any(|file| file.path == path);
    let reads = matches!(head.method(), "GET" | "HEAD");
    match path {
        "/ws" | "/echo" if head.method() == "GET" => HandshakeError::Upgrade.response(),
        "/ws" | "/echo" => refuse_method("GET"),
        "/healthz" if reads => Response::text(200, "ok\n").header("Cache-Control", "no-store"),
        "/healthz" => refuse_method("GET, HEAD"),
        _ if is_known && !reads => refuse_method("GET, HEAD"),
        _ => file(path).unwrap_or_else(not_found),
    }
}

/// Nothing is here.
pub(super) fn not_found() -> Response {
    Response::text(404, "there is nothing here\n")
}

fn refuse_method(allow: &'static str) -> Response {
    Response::text(405, "this method is not for this path\n").header("Allow", allow)
}

fn file(path: &str) -> Option<Response> {
    let file = FILES.iter().find(|file| file.path == path)?;
    let bytes = if path == "/throng.js" { LEAN.as_bytes() } else { file.bytes };
    let response = Response::new(200)
        .body(file.content_type, bytes)
        .header("Cache-Control", "no-cache")
        .header("Content-Security-Policy", POLICY)
        .header("X-Content-Type-Options", "nosniff");
    Some(response)
}
