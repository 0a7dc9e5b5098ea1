//! What the hub serves over plain HTTP.
//!
//! Owns the routes, and the files that are embedded in the program. Never reads a file.

use crate::handshake::HandshakeError;
use crate::http::{self, Response};

/// An embedded file.
struct File {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

const FILES: [File; 7] = [
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
];

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
    let response = Response::new(200)
        .body(file.content_type, file.bytes)
        .header("Cache-Control", "no-cache")
        .header("Content-Security-Policy", POLICY)
        .header("X-Content-Type-Options", "nosniff");
    Some(response)
}
