//! What the black-box tests share: the real binary as a child process, a client made of nothing
//! but a TCP socket, and builders for frames and requests, the broken ones included.
//!
//! Nothing in here imports throng: what the tests know of WebSocket is written a second time, by
//! hand, so that a mistake in the engine is not repeated by its own tests.
#![allow(dead_code, unused_imports)] // every test program uses its own part of this

pub mod client;
pub mod folder;
pub mod frame;
pub mod http;
pub mod process;
pub mod procfs;
pub mod random;
pub mod server;
pub mod signal;

pub use client::{CHUNKINGS, Chunking, Expect, RawClient, each_chunking, each_cut, exchange};
pub use folder::Folder;
pub use frame::Frame;
pub use http::{Answer, Upgrade};
pub use server::{Server, eventually, free_addresses};
