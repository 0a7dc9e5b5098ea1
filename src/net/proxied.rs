//! Connections that begin with a PROXY header.
//!
//! Owns the wait for the header, and the addresses that are known for longer than their sockets are
//! asked. Never answers a header that is wrong: who sent it is not the proxy.

use std::net::SocketAddr;

use super::reading::Reading;
use super::{CloseReason, ConnectionId, EventLoop, Handler, Platform, ProxyHeader, Stream};

/// Who connections are from: a third table with the index of the other two, which holds nothing
/// where no proxy is expected, and where the log does not tell of every end.
#[derive(Debug, Default)]
pub(super) struct Proxied(Vec<Option<(u32, SocketAddr)>>);

impl Proxied {
    /// Who a connection is from, if its proxy has said so.
    #[inline]
    pub(super) fn find(&self, id: ConnectionId) -> Option<SocketAddr> {
        let (generation, addr) = (*self.0.get(id.slot())?)?;
        (generation == id.generation).then_some(addr)
    }

    /// Keeps an address that the socket has told, unless one is known.
    pub(super) fn extend(&mut self, id: ConnectionId, remote: Option<SocketAddr>) {
        if let Some(remote) = remote
            && self.find(id).is_none()
        {
            self.put(id, remote);
        }
    }

    pub(super) fn put(&mut self, id: ConnectionId, addr: SocketAddr) {
        if id.slot() >= self.0.len() {
            self.0.resize(id.slot() + 1, None);
        }
        self.0[id.slot()] = Some((id.generation, addr));
    }
}

impl<H: Handler<P>, P: Platform> EventLoop<H, P> {
    /// A new connection begins with a header, if that was agreed.
    pub(super) fn expect_proxy(&mut self, index: usize) {
        if self.peers.config.proxy_protocol {
            self.readings[index] = Reading::Proxy(Vec::new());
        }
    }

    /// Takes bytes of a header, and what is glued to it.
    pub(super) fn receive_proxy(&mut self, index: usize, input: &mut [u8]) {
        let Reading::Proxy(buffer) = &mut self.readings[index] else { return };
        let had = buffer.len();
        let judged = if had == 0 {
            ProxyHeader::decode(input)
        } else {
            buffer.extend_from_slice(input);
            ProxyHeader::decode(buffer)
        };
        let id = self.peers.id(index);
        match judged {
            Ok(Some(header)) => {
                if let Some(source) = header.source {
                    self.peers.proxied.put(id, source);
                }
                self.readings[index] = Reading::START;
                // What had come before was no whole header: its end is in this input.
                let rest = &mut input[header.len - had..];
                let peer = &mut self.peers.table[index];
                if peer.stream.take_back(rest) {
                    peer.unread = true;
                } else if !rest.is_empty() {
                    self.receive_request(index, rest);
                }
            }
            Ok(None) if had == 0 => buffer.extend_from_slice(input),
            Ok(None) => {}
            Err(error) => {
                let peer = self.peers.remote_addr(id);
                tracing::debug!(%error, ?peer, "a connection is closed");
                self.lose(id, CloseReason::Lost);
            }
        }
    }
}
