//! Where a member sits: its rooms, and its place in each.
//!
//! Owns the list of one member. Most are in one room, for which nothing is allocated.

/// A seat of a member: the room's number, and the place in the room's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) room: u32,
    pub(super) place: u32,
}

/// The seats of one member.
#[derive(Debug)]
pub(super) enum Seats {
    None,
    One(Seat),
    Many(Vec<Seat>),
}

impl Seats {
    pub(super) fn as_slice(&self) -> &[Seat] {
        match self {
            Self::None => &[],
            Self::One(seat) => std::slice::from_ref(seat),
            Self::Many(seats) => seats,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// The number of the seat in a room.
    pub(super) fn position(&self, room: u32) -> Option<u32> {
        self.as_slice().iter().position(|seat| seat.room == room).map(|at| at as u32)
    }

    pub(super) fn seat_mut(&mut self, at: u32) -> Option<&mut Seat> {
        match self {
            Self::None => None,
            Self::One(seat) => (at == 0).then_some(seat),
            Self::Many(seats) => seats.get_mut(at as usize),
        }
    }

    pub(super) fn push(&mut self, seat: Seat) {
        match self {
            Self::None => *self = Self::One(seat),
            Self::One(first) => *self = Self::Many(vec![*first, seat]),
            Self::Many(seats) => seats.push(seat),
        }
    }

    /// Gives a seat up; the last takes its number.
    pub(super) fn swap_remove(&mut self, at: u32) -> Option<Seat> {
        match self {
            Self::One(seat) if at == 0 => {
                let seat = *seat;
                *self = Self::None;
                Some(seat)
            }
            Self::Many(seats) if (at as usize) < seats.len() => {
                let seat = seats.swap_remove(at as usize);
                match seats[..] {
                    [] => *self = Self::None,
                    [one] => *self = Self::One(one),
                    [..] => {}
                }
                Some(seat)
            }
            Self::None | Self::One(_) | Self::Many(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_takes_the_number_of_the_one_that_goes() {
        let seat = |room| Seat { room, place: room * 10 };
        let mut seats = Seats::None;
        assert_eq!(seats.swap_remove(0), None);
        (1..4).for_each(|room| seats.push(seat(room)));
        assert_eq!(seats.swap_remove(0), Some(seat(1)));
        assert_eq!(seats.as_slice(), [seat(3), seat(2)]);
        assert_eq!(seats.swap_remove(1), Some(seat(2)));
        assert!(matches!(seats, Seats::One(_)));
        assert_eq!(seats.position(3), Some(0));
        assert_eq!(seats.swap_remove(0), Some(seat(3)));
        assert_eq!(seats.len(), 0);
    }
}
