//! How far a node has followed one room.
//!
//! Owns the one question whether a message comes next, came already, or has others before it that
//! are missing; and what becomes of it when those were read. A state machine without I/O.
//!
//! ```text
//!            filled                a message after a hole, or of another epoch
//!   Away ───────────► Live ─────────────────────────────────────────► Behind
//!     ▲                │ ▲                                              │
//!     └── link is lost ┘ └──────────────────── filled ──────────────────┘
//! ```

use crate::hub::history::Position;

/// What is known of a room that this node follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Track {
    /// Up to where all was handed on; none where that is not known yet.
    position: Option<Position>,
    state: State,
    /// Whether members know another history, or no place.
    is_anew: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is no subscription.
    Away,
    /// Something is missing, and is in what the broker keeps.
    Behind,
    /// What comes next is what follows.
    Live,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Hand it on: it is the next.
    HandOn,
    /// Drop it: it was handed on before.
    Double,
    /// Drop it: it will be read together with what is missing before it.
    Behind,
}

/// What to do with what was read after the known place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// Hand it on; before that, where there is a gap, tell the members that something is missing:
    /// what they get next follows this place.
    All(Option<Position>),
    /// The same, but what was read is not all that came after that place, and is nothing.
    Nothing(Option<Position>),
    /// It is another history: read that from its beginning.
    Anew,
}

impl Track {
    pub(super) const fn new() -> Self {
        Self { position: None, state: State::Away, is_anew: false }
    }

    pub(super) const fn position(&self) -> Option<Position> {
        self.position
    }

    pub(super) fn is_away(&self) -> bool {
        self.state == State::Away
    }

    pub(super) fn is_live(&self) -> bool {
        self.state == State::Live
    }

    pub(super) fn is_behind(&self) -> bool {
        self.state == State::Behind
    }

    /// The link is gone.
    pub(super) const fn lose(&mut self) {
        self.state = State::Away;
    }

    /// Somebody was let in who knows no place: that is told as soon as it is known.
    pub(super) fn let_in(&mut self) {
        self.is_anew = true;
        if self.state == State::Live {
            self.state = State::Behind;
        }
    }

    /// There is a subscription, to a room without places.
    pub(super) const fn follow(&mut self) {
        self.state = State::Live;
    }

    /// A message of this place has come.
    pub(super) fn arrive(&mut self, position: Position) -> Step {
        match (self.state, self.position) {
            (State::Away | State::Behind, _) => Step::Behind,
            (State::Live, Some(known)) if known.epoch == position.epoch => {
                if position.offset <= known.offset {
                    return Step::Double;
                }
                if position.offset == known.offset + 1 {
                    self.position = Some(position);
                    return Step::HandOn;
                }
                self.state = State::Behind;
                Step::Behind
            }
            (State::Live, Some(_)) => {
                self.begin_anew(position);
                Step::Behind
            }
            (State::Live, None) => Step::HandOn, // a room without places has none
        }
    }

    /// A message that has this place already was sent again. It is not handed on from here, so that
    /// there is no next.
    pub(super) fn repeat(&mut self, position: Position) -> Step {
        let is_ahead =
            |known: Position| known.epoch == position.epoch && known.offset < position.offset;
        if self.state == State::Live && !self.position.is_some_and(is_ahead) {
            return Step::Double;
        }
        if self.state == State::Live {
            self.state = State::Behind;
        }
        Step::Behind
    }

    /// A room is followed from here on. Who was in it before is told where something is missing.
    pub(super) fn begin(&mut self, now: Position) -> Option<Position> {
        let gap = self.is_anew || self.position.is_some_and(|known| known != now);
        (self.position, self.state, self.is_anew) = (Some(now), State::Live, false);
        gap.then_some(now)
    }

    fn begin_anew(&mut self, position: Position) {
        self.position = Some(Position { offset: 0, ..position });
        (self.state, self.is_anew) = (State::Behind, true);
    }

    /// What comes after the known place was read when the room was at `now`. `first` is the offset
    /// of the first message, where the messages run from there up to `now` without a hole.
    pub(super) fn fill(&mut self, now: Position, first: Option<u64>) -> Filled {
        if self.position.is_some_and(|known| known.epoch != now.epoch) {
            self.begin_anew(now);
            return Filled::Anew;
        }
        let from = first.map_or(now.offset, |first| first.saturating_sub(1));
        let from = Position { offset: from, ..now };
        let gap = (self.is_anew || self.position != Some(from)).then_some(from);
        (self.position, self.state, self.is_anew) = (Some(now), State::Live, false);
        if first.is_some() { Filled::All(gap) } else { Filled::Nothing(gap) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::history::Epoch;

    fn at(epoch: u64, offset: u64) -> Position {
        Position { epoch: Epoch(epoch), offset }
    }

    fn live(offset: u64) -> Track {
        let mut track = Track::new();
        track.begin(at(1, offset));
        track
    }

    #[test]
    fn a_message_is_handed_on_once_and_in_its_order() {
        let mut track = live(4);
        let steps = [5, 5, 4, 6].map(|offset| track.arrive(at(1, offset)));
        assert_eq!(steps, [Step::HandOn, Step::Double, Step::Double, Step::HandOn]);
        assert_eq!(track.position(), Some(at(1, 6)));
    }

    #[test]
    fn after_a_hole_nothing_is_handed_on_until_it_is_filled() {
        let mut track = live(4);
        let steps = [7, 5, 8].map(|offset| track.arrive(at(1, offset)));
        assert_eq!(steps, [Step::Behind; 3]);
        assert!(track.is_behind());
        assert_eq!(track.fill(at(1, 8), Some(5)), Filled::All(None));
        assert_eq!([8, 9].map(|offset| track.arrive(at(1, offset))), [Step::Double, Step::HandOn]);
    }

    #[test]
    fn what_is_sent_again_has_all_before_it_handed_on_first() {
        let mut track = live(4);
        let steps = [at(1, 4), at(2, 9), at(1, 5)].map(|position| track.repeat(position));
        assert_eq!(steps, [Step::Double, Step::Double, Step::Behind]);
        assert_eq!(track.fill(at(1, 5), Some(5)), Filled::All(None));
        track.lose();
        assert_eq!(track.repeat(at(1, 5)), Step::Behind);
        assert!(track.is_away());
    }

    #[test]
    fn what_is_not_kept_any_more_is_a_gap_before_what_is() {
        let mut track = live(4);
        track.arrive(at(1, 9));
        assert_eq!(track.fill(at(1, 9), Some(7)), Filled::All(Some(at(1, 6))));
        // Too much, or nothing of it: from here on.
        assert_eq!(live(4).fill(at(1, 9), None), Filled::Nothing(Some(at(1, 9))));
    }

    #[test]
    fn another_history_is_read_from_its_beginning() {
        let mut track = live(4);
        assert_eq!(track.arrive(at(2, 1)), Step::Behind);
        assert_eq!(track.position(), Some(at(2, 0)));
        assert_eq!(track.fill(at(2, 2), Some(1)), Filled::All(Some(at(2, 0))));
        assert_eq!(track.arrive(at(2, 3)), Step::HandOn);
        // The same where it is seen when the link is there again, and twice where it has to be.
        track.lose();
        assert_eq!(track.fill(at(3, 1), None), Filled::Anew);
        assert_eq!(track.fill(at(4, 0), None), Filled::Anew);
        assert!(track.is_behind());
        assert_eq!(track.fill(at(4, 0), None), Filled::Nothing(Some(at(4, 0))));
    }

    #[test]
    fn a_link_that_was_lost_is_no_gap_where_nothing_was_said() {
        let mut track = live(4);
        track.lose();
        assert!(track.is_away());
        assert_eq!(track.arrive(at(1, 5)), Step::Behind);
        assert_eq!(track.fill(at(1, 4), None), Filled::Nothing(None));
        // Who came in while it was lost knows no place yet.
        assert_eq!(Track::new().fill(at(1, 4), None), Filled::Nothing(Some(at(1, 4))));
    }

    #[test]
    fn who_was_let_in_without_a_place_is_told_of_it_whoever_asks_next() {
        let mut track = Track::new();
        track.let_in();
        assert_eq!(track.begin(at(1, 4)), Some(at(1, 4)));
        track.let_in();
        assert!(track.is_behind(), "so that it is read");
        assert_eq!(track.fill(at(1, 4), None), Filled::Nothing(Some(at(1, 4))));
        assert_eq!(track.fill(at(1, 4), None), Filled::Nothing(None));
    }
}
