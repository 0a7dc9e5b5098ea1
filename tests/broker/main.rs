//! Several nodes that are one: over the broker in memory, where every fault can be made, and over a
//! real Redis, a real NATS and a real RabbitMQ, with nodes in this process and with the real
//! binary.
#![cfg(feature = "cli")]

#[allow(dead_code)] // the tests of TLS use the rest
#[path = "../tls/authority.rs"]
mod authority;
#[path = "../common/mod.rs"]
mod common;
#[path = "../record/mod.rs"]
mod record;
#[path = "../engine/running.rs"]
mod running;

/// Makes a test of each case for each server.
macro_rules! over_each_server {
    ($($case:ident),* $(,)?) => {
        mod over_redis {
            $(#[test] fn $case() { super::$case::<crate::redis::Redis>(); })*
        }
        mod over_nats {
            $(#[test] fn $case() { super::$case::<crate::nats::Nats>(); })*
        }
        mod over_rabbitmq {
            $(#[test] fn $case() { super::$case::<crate::rabbit::Rabbit>(); })*
        }
    };
}

mod amqp;
mod between;
mod faults;
mod nats;
mod nodes;
mod program;
mod rabbit;
#[allow(dead_code)] // the tests of the cluster use the rest
mod redis;
mod sentinels;
mod servers;
mod sessions;
mod tables;
mod together;
mod waiting;
