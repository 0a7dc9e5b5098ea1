//! The real loop, the real hub on it, and several nodes of hubs, in worlds made from a seed: no
//! threads, no sockets, no wall time.
//!
//! `THRONG_SEEDS=N` runs so many worlds, `THRONG_SEED=S` just one, and tells what happens in it;
//! `THRONG_FULL=1` runs fifty times as many. A failure says which seed to replay, by which command.

#[cfg(feature = "hub")]
mod answers;
mod dice;
mod echo;
mod frames;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "hub")]
mod loops;
mod network;
#[cfg(feature = "hub")]
mod nodes;
#[cfg(feature = "hub")]
mod people;
mod platform;
#[cfg(feature = "hub")]
mod rooms;
mod runs;
#[cfg(feature = "hub")]
mod said;
#[cfg(feature = "hub")]
mod truth;
#[cfg(feature = "hub")]
mod view;
#[cfg(feature = "hub")]
mod watched;
mod world;
