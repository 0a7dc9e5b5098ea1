//! HTTP/1.1 heads: where one ends, what it says, and the answer to it.
//!
//! Owns the strict reading of request and response heads (httparse inside, plus the checks that it
//! leaves out) and the writing of responses. Never touches a socket or a clock, and knows nothing
//! of WebSocket.
//!
//! ```
//! use throng::http::{EncodeOptions, HeadLimits, HeadScan, HeaderSlots, Request, Response};
//!
//! let received = b"GET /healthz?full HTTP/1.1\r\nHost: example.com\r\n\r\n";
//! let limits = HeadLimits::default();
//! let length = HeadScan::new().scan(received, &limits)?.expect("the head is complete");
//!
//! let mut slots = HeaderSlots::new();
//! let request = Request::parse(&received[..length], &mut slots, &limits)?;
//! assert_eq!((request.path(), request.query()), ("/healthz", Some("full")));
//!
//! let mut out = Vec::new();
//! Response::text(200, "ok\n").encode(&mut out, EncodeOptions::answering(&request));
//! assert!(out.starts_with(b"HTTP/1.1 200 OK\r\n"));
//! # Ok::<(), throng::http::HttpError>(())
//! ```

mod body;
mod error;
pub mod fields;
mod headers;
mod request;
mod response;
mod response_head;
mod scan;
mod target;

pub use body::{Body, dechunk};
pub use error::HttpError;
pub use fields::HeaderLines;
pub use headers::{HEADERS_MAX, HeaderSlots, Headers, Repeated};
pub use request::Request;
pub use response::{EncodeOptions, Response, reason};
pub use response_head::{ResponseError, ResponseHead};
pub use scan::{HeadLimits, HeadScan};
pub use target::is_host;
