//! The thread that sees when a certificate file has changed.
//!
//! Owns that thread, and its lines in the log. It ends when the acceptor does.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::Acceptor;

/// Looks at the files of an acceptor every `period`, on a thread of its own, for as long as the
/// acceptor lives: no loop ever waits for a disk.
///
/// # Errors
/// No thread could be started.
pub fn watch(acceptor: &Arc<Acceptor>, period: Duration) -> io::Result<()> {
    let acceptor = Arc::downgrade(acceptor);
    thread::Builder::new().name("certificates".into()).spawn(move || {
        let mut last = None;
        loop {
            thread::sleep(period);
            let Some(acceptor) = acceptor.upgrade() else { return };
            let fault = match acceptor.reread() {
                Ok(has_changed) => {
                    if has_changed {
                        tracing::info!("the certificates were read again");
                    } else if last.is_some() {
                        tracing::info!("the certificates are again what they were");
                    }
                    None
                }
                Err(error) => Some(error.to_string()),
            };
            // The same fault is said once, however long it lasts.
            if let Some(error) = fault.as_ref().filter(|_| fault != last) {
                tracing::error!(%error, "the new certificates are broken: the old stay");
            }
            last = fault;
        }
    })?;
    Ok(())
}
