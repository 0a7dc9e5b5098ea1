//! What the black-box tests share: the real binary as a child process, a client made of nothing
//! but a TCP socket, and builders for frames and requests, the broken ones included.
//!
//! Nothing in here imports throng: what the tests know of WebSocket is written a second time, by
//! hand, so that a mistake in the engine is not repeated by its own tests.
#![allow(dead_code, unused_imports)] // every test program uses its own part of this

pub mod client;
pub mod frame;
pub mod http;
pub mod random;
pub mod server;

pub use client::{CHUNKINGS, Chunking, Expect, RawClient, each_chunking, exchange};
pub use frame::Frame;
pub use http::{Answer, Upgrade};
pub use server::{Server, eventually};
