//! The thread that sees when a key file has changed.
//!
//! Owns that thread, and its lines in the log. It ends when the authenticator does.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{Authenticator, Reload};

/// Looks at the key files every `period`, on a thread of its own, for as long as the authenticator
/// lives: no loop ever waits for a disk.
///
/// # Errors
///
/// No thread could be started.
pub fn watch(authenticator: &Arc<Authenticator>, period: Duration) -> io::Result<()> {
    let authenticator = Arc::downgrade(authenticator);
    thread::Builder::new().name("keys".into()).spawn(move || {
        loop {
            thread::sleep(period);
            let Some(authenticator) = authenticator.upgrade() else { return };
            for Reload { path, result } in authenticator.reload() {
                let path = path.display();
                match result {
                    Ok(keys) => tracing::info!(%path, keys, "the keys were read again"),
                    Err(error) => {
                        tracing::error!(%path, %error, "the new keys are broken: the old stay");
                    }
                }
            }
        }
    })?;
    Ok(())
}
