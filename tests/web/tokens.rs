//! Tokens, the file with their secret, and handshakes that carry them.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use throng::hub::auth::{Claims, Signer};

use crate::common::Upgrade;

/// No other bytes of these tests look like it.
pub const SECRET: &str = "canary-secret-Zq7-that-is-long-enough";

pub fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

/// A token of Ann's by `secret`, for so many seconds from now; less than none is in the past.
pub fn token_by(secret: &str, seconds: i64) -> String {
    let exp = now_s().checked_add_signed(seconds);
    let claims = Claims { sub: "ann".into(), exp, ..Claims::default() };
    let signer = Signer::secret(secret.as_bytes()).expect("a long secret");
    signer.sign(&claims).expect("good claims")
}

/// A file that goes when this does.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(content: &str) -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("throng-web-{}-{number}", std::process::id());
        let file = Scratch(std::env::temp_dir().join(name));
        file.replace(content);
        file
    }

    pub fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }

    /// Puts another file in its place, as a careful program does.
    pub fn replace(&self, content: &str) {
        let next = self.0.with_extension("next");
        fs::write(&next, content).expect("a writable folder");
        fs::rename(&next, &self.0).expect("the same folder");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A handshake on `path` for each way in which a token can come. All are of the server's own page.
pub fn ways(path: &str, token: &str) -> Vec<Upgrade> {
    let page = |target: &str| Upgrade::new(target).header("Origin", "http://localhost");
    vec![
        page(&format!("{path}?token={token}")),
        page(&format!("{path}?room=r&%74oken={token}&name=x")),
        page(&format!("{path}?token=%65{}", token.strip_prefix('e').unwrap_or(token))),
        page(path).header("Authorization", format!("Bearer {token}")),
        page(path).header("authorization", format!("bearer   {token}")),
        page(path).header("Cookie", format!("a=b; token={token}; c=d")),
        page(path).header("Sec-WebSocket-Protocol", format!("throng.v1.json, bearer.{token}")),
    ]
}
