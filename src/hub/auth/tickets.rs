//! Tickets: what stands in a URL in place of a token, once and for a few seconds.
//!
//! Owns how one is made and what is asked of one that comes back: made here, in time, of this page,
//! and not used before. It carries what its bearer may do, so nothing is kept of one until it is
//! used. Never decides who may have one.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::{sign, verify};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde::{Deserialize, Serialize};

use super::token::choose_provider;
use super::{AuthError, Claims, Identity, Refusal};
use crate::hub::origin::is_same;
use crate::hub::overload::Bound;

/// The longest that a ticket may be good for.
pub const TICKET_LIFE_MAX: Duration = Duration::from_secs(30);

/// The longest ticket, in bytes: it is a part of a URL.
const TICKET_BYTES_MAX: usize = 4 << 10;

/// What a used ticket takes in both tables, of which each may be half empty.
const USED_BYTES: u64 = 64;

/// How many tickets, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketLimits {
    /// How long one is good for, at most [`TICKET_LIFE_MAX`]. Default: 30 s.
    pub life: Duration,
    /// How many used ones are remembered until they would have ended; where there are more, a
    /// ticket is refused: 503. Default: 65,536.
    pub used_max: usize,
}

impl TicketLimits {
    /// What all that is remembered takes in memory at most.
    pub const fn bound(&self) -> Bound {
        let bytes = (self.used_max as u64).saturating_mul(USED_BYTES);
        Bound { bytes, words: "the tickets that were used" }
    }
}

impl Default for TicketLimits {
    fn default() -> Self {
        Self { life: TICKET_LIFE_MAX, used_max: 1 << 16 }
    }
}

/// Makes tickets and takes them. One serves all loops of one process, and no other knows its
/// tickets: its key is made at the start, and is nowhere else.
///
/// ```
/// use throng::hub::auth::{Claims, Refusal, TicketLimits, Tickets};
///
/// let tickets = Tickets::new(TicketLimits::default())?;
/// let ann = Claims { sub: "ann".into(), ..Claims::default() };
/// let page = Some("https://app.example.com");
/// let now_ms = 1_712_345_678_000;
/// let (ticket, ends_ms) = tickets.issue(ann, page, now_ms)?;
/// assert_eq!(ends_ms, now_ms + 30_000);
/// assert_eq!(tickets.take(&ticket, None, now_ms), Err(Refusal::TicketOrigin));
/// assert_eq!(&*tickets.take(&ticket, page, now_ms).expect("it is good").sub, "ann");
/// assert_eq!(tickets.take(&ticket, page, now_ms), Err(Refusal::TicketUsed));
/// # Ok::<(), throng::hub::auth::AuthError>(())
/// ```
pub struct Tickets {
    limits: TicketLimits,
    signing: EncodingKey,
    verifying: DecodingKey,
    next: AtomicU64,
    used: Mutex<Used>,
}

/// What a ticket says: it is read by nobody else.
#[derive(Debug, Serialize, Deserialize)]
struct Ticket {
    number: u64,
    ends_ms: u64,
    origin: Option<String>,
    claims: Claims,
}

/// The numbers of used tickets that would still be good.
#[derive(Debug, Default)]
struct Used {
    numbers: HashSet<u64>,
    /// In the order of their use, so nearly in that of their ends.
    order: VecDeque<(u64, u64)>,
}

impl Tickets {
    /// Tickets of a fresh key.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn new(limits: TicketLimits) -> Result<Self, AuthError> {
        choose_provider();
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| AuthError::Signing(error.to_string()))?;
        Ok(Self {
            limits: TicketLimits { life: limits.life.min(TICKET_LIFE_MAX), ..limits },
            signing: EncodingKey::from_secret(&key),
            verifying: DecodingKey::from_secret(&key),
            next: AtomicU64::default(),
            used: Mutex::default(),
        })
    }

    /// A ticket for who has these claims, for pages of one origin, or for who is no page; and when
    /// it ends, in milliseconds since 1970.
    ///
    /// # Errors
    /// The claims are out of their bounds, or too many for a URL.
    pub fn issue(
        &self,
        claims: Claims,
        origin: Option<&str>,
        now_unix_ms: u64,
    ) -> Result<(String, u64), AuthError> {
        let fault = |why: &str| AuthError::Signing(why.to_owned());
        if !claims.are_sound() {
            return Err(fault("sub and jti have 1 to 128 bytes without control characters"));
        }
        let ends_ms = now_unix_ms.saturating_add(self.limits.life.as_millis() as u64);
        let (number, origin) = (self.next.fetch_add(1, Relaxed), origin.map(Into::into));
        let ticket = serde_json::to_vec(&Ticket { number, ends_ms, origin, claims });
        let ticket = URL_SAFE_NO_PAD.encode(ticket.map_err(|error| fault(&error.to_string()))?);
        let signature = sign(ticket.as_bytes(), &self.signing, Algorithm::HS256);
        let signature = signature.map_err(|error| fault(&error.to_string()))?;
        let ticket = format!("{ticket}.{signature}");
        if ticket.len() > TICKET_BYTES_MAX {
            return Err(fault("the rights are too many for a URL: use a token"));
        }
        Ok((ticket, ends_ms))
    }

    /// Whose ticket this is, without using it up. Of whose page nothing is known, any may be: a
    /// browser names none where a page asks its own server.
    ///
    /// # Errors
    /// It is not taken.
    pub fn look(
        &self,
        ticket: &str,
        origin: Option<&str>,
        now_unix_ms: u64,
    ) -> Result<Identity, Refusal> {
        let ticket = self.check(ticket, now_unix_ms, |of| origin.is_none() || is_of(of, origin))?;
        if self.used().numbers.contains(&ticket.number) {
            return Err(Refusal::TicketUsed);
        }
        Ok(ticket.identity())
    }

    /// The same, for a handshake: it is used from now on.
    ///
    /// # Errors
    /// It is not taken.
    pub fn take(
        &self,
        ticket: &str,
        origin: Option<&str>,
        now_unix_ms: u64,
    ) -> Result<Identity, Refusal> {
        let ticket = self.check(ticket, now_unix_ms, |of| is_of(of, origin))?;
        self.used().add(&ticket, now_unix_ms, self.limits.used_max)?;
        Ok(ticket.identity())
    }

    /// What a ticket says, where all is right with it but that it may be used.
    fn check(
        &self,
        ticket: &str,
        now_unix_ms: u64,
        is_for: impl FnOnce(Option<&str>) -> bool,
    ) -> Result<Ticket, Refusal> {
        let (body, signature) = ticket
            .rsplit_once('.')
            .filter(|_| ticket.len() <= TICKET_BYTES_MAX)
            .ok_or(Refusal::Ticket)?;
        let is_ours = verify(signature, body.as_bytes(), &self.verifying, Algorithm::HS256);
        if !matches!(is_ours, Ok(true)) {
            return Err(Refusal::Ticket);
        }
        let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| Refusal::Ticket)?;
        let ticket: Ticket = serde_json::from_slice(&body).map_err(|_| Refusal::Ticket)?;
        if ticket.ends_ms <= now_unix_ms {
            Err(Refusal::TicketExpired)
        } else if !is_for(ticket.origin.as_deref()) {
            Err(Refusal::TicketOrigin)
        } else if ticket.claims.exp.is_some_and(|end_s| end_s <= now_unix_ms / 1000) {
            Err(Refusal::Expired)
        } else {
            Ok(ticket)
        }
    }

    fn used(&self) -> std::sync::MutexGuard<'_, Used> {
        // Held for a look-up: no loop waits long for another.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a ticket for pages of one origin, or for who is no page, is for this one.
fn is_of(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => is_same(one, other),
        (one, other) => one == other,
    }
}

impl Ticket {
    fn identity(self) -> Identity {
        let expires_at_s = self.claims.exp;
        Identity::new(self.claims, expires_at_s)
    }
}

impl Used {
    fn add(&mut self, ticket: &Ticket, now_ms: u64, max: usize) -> Result<(), Refusal> {
        if self.numbers.contains(&ticket.number) {
            return Err(Refusal::TicketUsed);
        }
        while let Some((number, ends_ms)) = self.order.front().copied()
            && ends_ms <= now_ms
        {
            self.numbers.remove(&number);
            self.order.pop_front();
        }
        // None is forgotten before its time: it must not come back.
        if self.order.len() >= max {
            return Err(Refusal::TicketsFull);
        }
        self.numbers.insert(ticket.number);
        self.order.push_back((ticket.number, ticket.ends_ms));
        Ok(())
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::auth::{Limits, Priority, RoomClaim, Signer};

    const NOW_MS: u64 = 1_800_000_000_000;
    const PAGE: Option<&str> = Some("https://app.example.com");

    fn tickets(used_max: usize) -> Tickets {
        Tickets::new(TicketLimits { used_max, ..TicketLimits::default() }).unwrap()
    }

    fn ann() -> Claims {
        let rooms: Vec<RoomClaim> =
            serde_json::from_str(r#"[{"match":"team.*","rights":["read"]}]"#).unwrap();
        Claims {
            sub: "ann".into(),
            exp: Some(NOW_MS / 1000 + 60),
            iat: Some(NOW_MS / 1000),
            jti: Some("t".into()),
            rooms: Some(rooms),
            limits: Limits { connections: Some(1), ..Limits::default() },
            priority: Priority::Low,
            ..Claims::default()
        }
    }

    #[test]
    fn rule_10_a_ticket_says_who_once() {
        let tickets = tickets(9);
        let (ticket, ends_ms) = tickets.issue(ann(), PAGE, NOW_MS).unwrap();
        assert_eq!(ends_ms, NOW_MS + 30_000);
        let whole = Identity::new(ann(), ann().exp);
        for _ in 0..2 {
            assert_eq!(tickets.look(&ticket, PAGE, NOW_MS).as_ref(), Ok(&whole));
        }
        let as_written_elsewhere = Some("HTTPS://App.Example.com:443");
        assert_eq!(tickets.take(&ticket, as_written_elsewhere, NOW_MS), Ok(whole));
        for way in [Tickets::look, Tickets::take] {
            assert_eq!(way(&tickets, &ticket, PAGE, NOW_MS), Err(Refusal::TicketUsed));
            let later = way(&tickets, &ticket, PAGE, NOW_MS + 30_000);
            assert_eq!(later, Err(Refusal::TicketExpired));
        }
    }

    #[test]
    fn rule_10_a_ticket_is_of_a_page_and_a_time() {
        let tickets = tickets(9);
        let table = [
            (PAGE, Some("https://app.example.com"), None),
            (PAGE, Some("http://app.example.com"), Some(Refusal::TicketOrigin)),
            (PAGE, Some("https://app.example.com:444"), Some(Refusal::TicketOrigin)),
            (PAGE, Some("https://example.com"), Some(Refusal::TicketOrigin)),
            (PAGE, Some("null"), Some(Refusal::TicketOrigin)),
            (PAGE, None, Some(Refusal::TicketOrigin)),
            (None, None, None),
            (None, PAGE, Some(Refusal::TicketOrigin)),
            (Some("null"), Some("null"), None),
        ];
        for (of, shown, expected) in table {
            let (ticket, _) = tickets.issue(ann(), of, NOW_MS).unwrap();
            let taken = tickets.take(&ticket, shown, NOW_MS + 29_999).err();
            assert_eq!(taken, expected, "{of:?} {shown:?}");
            let late = tickets.take(&ticket, shown, NOW_MS + 30_000);
            assert_eq!(late, Err(Refusal::TicketExpired));
        }
        let ends_soon = Claims { exp: Some(NOW_MS / 1000 + 5), ..ann() };
        let (ticket, _) = tickets.issue(ends_soon, None, NOW_MS).unwrap();
        assert_eq!(tickets.take(&ticket, None, NOW_MS + 5_000), Err(Refusal::Expired));
        let limits = TicketLimits { life: Duration::from_secs(3600), used_max: 1 };
        let (_, ends_ms) = Tickets::new(limits).unwrap().issue(ann(), None, NOW_MS).unwrap();
        assert_eq!(ends_ms, NOW_MS + 30_000, "no longer than 30 s");
    }

    #[test]
    fn what_is_no_ticket_of_ours_is_none() {
        let tickets = tickets(9);
        let (good, _) = tickets.issue(ann(), None, NOW_MS).unwrap();
        let (body, signature) = good.split_once('.').unwrap();
        let (elsewhere, _) = self::tickets(9).issue(ann(), None, NOW_MS).unwrap();
        let token = Signer::secret(&[7; 32]).unwrap().sign(&ann()).unwrap();
        let long = "x".repeat(TICKET_BYTES_MAX);
        for bad in [
            "",
            ".",
            "a.b",
            body,
            &format!("{body}."),
            &format!("{body}x.{signature}"),
            &format!("{body}.{}", &signature[1..]),
            &format!("{good}="),
            &elsewhere,
            &token,
            &format!("{body}.{long}"),
        ] {
            assert_eq!(tickets.take(bad, None, NOW_MS), Err(Refusal::Ticket), "{bad:.40}");
        }
        assert!(tickets.take(&good, None, NOW_MS).is_ok());
        assert_eq!(format!("{tickets:?}").find("key"), None);
    }

    #[test]
    fn claims_that_are_too_many_for_a_url_are_refused() {
        let room = |n: usize| format!(r#"{{"match":"{n}{}","rights":["read"]}}"#, "x".repeat(100));
        let rooms = (0..64).map(room).collect::<Vec<_>>().join(",");
        let rooms = serde_json::from_str(&format!("[{rooms}]")).unwrap();
        let wide = Claims { rooms: Some(rooms), ..ann() };
        assert!(tickets(9).issue(wide, None, NOW_MS).is_err());
        assert!(tickets(9).issue(Claims::default(), None, NOW_MS).is_err(), "nobody");
    }

    #[test]
    fn the_table_of_used_ones_is_bounded_and_forgets_none_in_its_time() {
        let tickets = tickets(2);
        let issue = |now_ms| tickets.issue(ann(), None, now_ms).unwrap().0;
        let all: Vec<_> = (0..4).map(|_| issue(NOW_MS)).collect();
        let take = |ticket: &str, now_ms| tickets.take(ticket, None, now_ms).err();
        assert_eq!(take(&all[0], NOW_MS), None);
        assert_eq!(take(&all[1], NOW_MS), None);
        assert_eq!(take(&all[2], NOW_MS), Some(Refusal::TicketsFull));
        assert_eq!(take(&all[0], NOW_MS), Some(Refusal::TicketUsed));
        let later = issue(NOW_MS + 30_000);
        assert_eq!(take(&later, NOW_MS + 30_000), None, "those have ended by themselves");
        let used = tickets.used();
        assert_eq!((used.numbers.len(), used.order.len()), (1, 1));
    }
}
