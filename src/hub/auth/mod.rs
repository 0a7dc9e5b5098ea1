//! Who may come in, and what they may do there: tokens.
//!
//! Owns where a handshake carries a token or a ticket, the keys that it is held against, what its
//! claims mean, and what is revoked. Never opens a socket and fetches nothing: files are read at
//! the start, and on the thread of [`watch`].
//!
//! ```
//! use throng::hub::auth::{AuthConfig, Authenticator, Claims, Issuer, Right, Signer};
//!
//! let secret = b"a secret of at least 32 bytes, or it is refused";
//! let authenticator = Authenticator::new(AuthConfig::new(vec![Issuer::secret(secret)]))?;
//! let claims = Claims { sub: "ann".into(), exp: Some(2_000), ..Claims::default() };
//! let token = Signer::secret(secret)?.sign(&claims)?;
//!
//! let now_unix_s = 1_000;
//! let ann = authenticator.identify(&token, now_unix_s).expect("it is signed with the secret");
//! assert_eq!(&*ann.sub, "ann");
//! assert!(ann.grants.allows(Right::Write, "any room"));
//! assert!(authenticator.identify(&token, 2_000).is_err(), "it has expired");
//! # Ok::<(), throng::hub::auth::AuthError>(())
//! ```

mod algorithm;
mod api_keys;
mod authenticator;
mod claims;
mod error;
mod first;
mod grants;
mod identity;
mod jwks;
mod keys;
mod pattern;
mod refusal;
mod revocation;
mod signer;
mod source;
mod tickets;
mod token;
mod watch;

pub use algorithm::Algorithm;
pub use api_keys::ApiKeys;
pub use authenticator::{AuthConfig, Authenticator};
pub(super) use claims::at_most_64;
pub use claims::{Claims, Limits, Priority, RoomClaim};
pub use error::AuthError;
pub use first::{UNAUTHENTICATED_BYTES_MAX, UNAUTHENTICATED_LIFE, first_message};
pub use grants::{Grants, Right, Rights};
pub use identity::Identity;
pub use keys::{Issuer, KeySource, Reload};
pub use pattern::{PATTERN_BYTES_MAX, Pattern};
pub use refusal::Refusal;
pub use revocation::{
    REVOCATIONS_BOUND, REVOCATIONS_MAX, Revocation, RevocationsFull, Revoked, RevokedName,
};
pub use signer::Signer;
pub use source::{Source, Sources, Token, redact_header, redact_target, ticket_of, token_of};
pub use tickets::{TICKET_LIFE_MAX, TicketLimits, Tickets};
pub use watch::watch;
