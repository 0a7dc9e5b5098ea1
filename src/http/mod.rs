//! HTTP/1.1 heads: where one ends, what it says, and the answer to it.
//!
//! Owns the strict reading of a request head (httparse inside, plus the checks that it leaves out)
//! and the writing of responses. Never touches a socket or a clock, and knows nothing of WebSocket.
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

mod error;
pub mod fields;
mod headers;
mod request;
mod response;
mod scan;
mod target;

pub use error::HttpError;
pub use fields::HeaderLines;
pub use headers::{HEADERS_MAX, HeaderSlots, Headers, Repeated};
pub use request::{Body, Request};
pub use response::{EncodeOptions, Response, reason};
pub use scan::{HeadLimits, HeadScan};
