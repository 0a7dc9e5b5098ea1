//! The sockets of a server between the bind and its loops.
//!
//! Owns which loop has which listener, and what each was asked for. Never accepts.

use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::Path;

use super::Listener;
#[cfg(unix)]
use super::inherit::{Inherited, Legacy};
#[cfg(unix)]
use super::socket_file::SocketFile;

/// Where a server listens.
#[derive(Debug)]
pub(super) struct Bound {
    /// The listeners of each loop, until they are taken.
    listeners: Vec<Vec<Listener>>,
    /// What each was asked for.
    names: Vec<Vec<String>>,
    pub(super) local_addrs: Vec<SocketAddr>,
    /// Whether several may listen on one address.
    shared: bool,
    #[cfg(unix)]
    inherited: Vec<Inherited>,
    /// Behind the listeners: where something fails they go first.
    #[cfg(unix)]
    socket_files: Vec<SocketFile>,
}

impl Bound {
    /// Nothing yet, for so many loops.
    pub(super) fn new(loops: usize, shared: bool) -> Self {
        Self {
            listeners: (0..loops).map(|_| Vec::new()).collect(),
            names: vec![Vec::new(); loops],
            local_addrs: Vec::new(),
            shared,
            #[cfg(unix)]
            inherited: Vec::new(),
            #[cfg(unix)]
            socket_files: Vec::new(),
        }
    }

    /// Has these in place of new ones.
    #[cfg(unix)]
    pub(super) fn inherit(&mut self, sockets: Vec<Inherited>) {
        self.inherited = sockets;
    }

    /// Listens by TCP: a listener for each loop.
    pub(super) fn tcp(&mut self, mut addr: SocketAddr) -> io::Result<()> {
        let name = addr.to_string();
        #[cfg(unix)]
        let mut legacy = Legacy::take(&mut self.inherited, &name)?;
        for index in 0..self.names.len() {
            #[cfg(unix)]
            let inherited = legacy.next()?;
            #[cfg(not(unix))]
            let inherited: Option<Listener> = None;
            let listener = match inherited {
                Some(listener) => listener,
                None => Listener::tcp(addr, self.shared)?.into(),
            };
            if index == 0 {
                addr = listener.tcp_addr()?; // the port that all others take
                self.local_addrs.push(addr);
            }
            self.push(index, &name, listener);
        }
        #[cfg(unix)]
        self.push_rest(&name, legacy);
        Ok(())
    }

    /// Listens on a Unix socket: one for all loops.
    #[cfg(unix)]
    pub(super) fn unix(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        let name = format!("unix:{}", path.display());
        let mut legacy = Legacy::take(&mut self.inherited, &name)?;
        let (first, file) = match legacy.next()? {
            Some(listener) => (listener, SocketFile::inherited(path)),
            None => {
                let (listener, file) = SocketFile::listen(path, mode)?;
                (listener.into(), file)
            }
        };
        self.socket_files.push(file);
        for index in 0..self.names.len() {
            self.push(index, &name, first.try_clone()?);
        }
        self.push_rest(&name, legacy);
        Ok(())
    }

    fn push(&mut self, index: usize, name: &str, listener: Listener) {
        self.listeners[index].push(listener);
        self.names[index].push(name.to_owned());
    }

    #[cfg(unix)]
    fn push_rest(&mut self, name: &str, legacy: Legacy) {
        for (at, listener) in legacy.rest().enumerate() {
            self.push(at % self.names.len(), name, listener);
        }
    }

    /// The listeners of each loop, once.
    pub(super) fn take_listeners(&mut self) -> Vec<Vec<Listener>> {
        std::mem::take(&mut self.listeners)
    }

    /// What the listeners of each loop were asked for, in their order.
    #[cfg(unix)]
    pub(super) fn names(&self) -> &[Vec<String>] {
        &self.names
    }

    /// The files of the Unix sockets.
    #[cfg(unix)]
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.socket_files.iter().map(SocketFile::path)
    }
}
