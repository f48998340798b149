//! Events that come in pieces, joined as bytes: a piece may end inside a character.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use greenlight_core::stream::{MAX_MESSAGE_BYTES, MessageProblem};

/// The most pieces of one event.
const MAX_PIECES: usize = 64;

/// The most events that wait for pieces. A connection carries one event after the other, so that
/// more of them are pieces that never come.
const MAX_WAITING: usize = 16;

/// The longest id of an event in pieces: Feishu's have 36 characters.
const MAX_ID_BYTES: usize = 256;

/// The most bytes of all events that wait.
const MAX_WAITING_BYTES: usize = 4 * MAX_MESSAGE_BYTES;

/// An event whose pieces do not come within this time is dropped: Feishu sends it again. The
/// official SDKs keep them for 5 s or 10 s.
const MAX_AGE: Duration = Duration::from_secs(10);

/// The place of a piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The id of the event.
    pub(super) message_id: &'a str,
    /// How many pieces it has.
    pub(super) sum: usize,
    /// The number of this one.
    pub(super) seq: usize,
}

/// The events that wait for pieces.
#[derive(Debug, Default)]
pub(super) struct Pieces(HashMap<String, Waiting>);

#[derive(Debug)]
struct Waiting {
    pieces: Vec<Option<Bytes>>,
    since: Instant,
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.pieces.iter().flatten().map(Bytes::len).sum()
    }
}

impl Pieces {
    /// Adds a piece; returns the event if it was the last one.
    pub(super) fn add(
        &mut self,
        place: Place<'_>,
        piece: Bytes,
        now: Instant,
    ) -> Result<Option<Bytes>, MessageProblem> {
        let Place { message_id, sum, seq } = place;
        if sum > MAX_PIECES {
            return Err(MessageProblem::TooManyPieces);
        }
        if seq >= sum {
            return Err(MessageProblem::WrongPiece);
        }
        if sum == 1 {
            return Ok(Some(piece));
        }
        if message_id.len() > MAX_ID_BYTES {
            return Err(MessageProblem::Shape);
        }
        self.drop_old(now, message_id);
        let waiting = self
            .0
            .entry(message_id.to_owned())
            .or_insert_with(|| Waiting { pieces: vec![None; sum], since: now });
        if waiting.pieces.len() != sum {
            return Err(MessageProblem::WrongPiece);
        }
        // A copy: the piece is a part of its message, which would be kept whole.
        waiting.pieces[seq] = Some(Bytes::copy_from_slice(&piece));
        if waiting.bytes() > MAX_MESSAGE_BYTES {
            self.0.remove(message_id);
            return Err(MessageProblem::TooLarge);
        }
        if waiting.pieces.iter().any(Option::is_none) {
            return Ok(None);
        }
        let whole = self.0.remove(message_id).map(|it| it.pieces).unwrap_or_default();
        Ok(Some(whole.into_iter().flatten().flatten().collect()))
    }

    /// Drops the events that waited too long, and the oldest one while there are too many.
    fn drop_old(&mut self, now: Instant, adding: &str) {
        self.0.retain(|_, waiting| now.duration_since(waiting.since) <= MAX_AGE);
        let is_full = |waiting: &HashMap<String, Waiting>| {
            let others = waiting.keys().filter(|id| *id != adding).count();
            others >= MAX_WAITING
                || waiting.values().map(Waiting::bytes).sum::<usize>() > MAX_WAITING_BYTES
        };
        while is_full(&self.0) {
            let others = self.0.iter().filter(|(id, _)| *id != adding);
            let oldest = others.min_by_key(|(_, waiting)| waiting.since).map(|(id, _)| id.clone());
            let Some(oldest) = oldest else { return };
            self.0.remove(&oldest);
            tracing::warn!("an event whose pieces did not all come is dropped: it comes again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(message_id: &str, sum: usize, seq: usize) -> Place<'_> {
        Place { message_id, sum, seq }
    }

    #[test]
    fn pieces_are_joined_in_their_order_and_inside_a_character() {
        let (mut pieces, now) = (Pieces::default(), Instant::now());
        let text = "张三".as_bytes();
        let (first, rest) = text.split_at(1);
        let (second, third) = rest.split_at(3);
        let mut add = |sum, seq, piece: &'static [u8]| {
            pieces.add(place("m", sum, seq), Bytes::from_static(piece), now)
        };
        assert_eq!(add(3, 2, third), Ok(None));
        assert_eq!(add(3, 0, first), Ok(None));
        assert_eq!(add(3, 0, first), Ok(None), "a piece that comes twice");
        assert_eq!(add(3, 1, second), Ok(Some(Bytes::from_static(text))));
        assert_eq!(add(1, 0, b"one"), Ok(Some(Bytes::from_static(b"one"))));
        assert!(pieces.0.is_empty());
    }

    #[test]
    fn what_a_message_claims_is_bounded() {
        let (mut pieces, now) = (Pieces::default(), Instant::now());
        let piece = Bytes::from_static(b"x");
        for (sum, seq, problem) in [
            (1_000_000, 0, MessageProblem::TooManyPieces),
            (usize::MAX, 0, MessageProblem::TooManyPieces),
            (0, 0, MessageProblem::WrongPiece),
            (2, 2, MessageProblem::WrongPiece),
        ] {
            assert_eq!(pieces.add(place("m", sum, seq), piece.clone(), now), Err(problem));
        }
        assert_eq!(pieces.add(place("m", 2, 0), piece.clone(), now), Ok(None));
        let other_sum = pieces.add(place("m", 3, 1), piece.clone(), now);
        assert_eq!(other_sum, Err(MessageProblem::WrongPiece));
        let large = Bytes::from(vec![0; MAX_MESSAGE_BYTES]);
        assert_eq!(pieces.add(place("m", 2, 1), large, now), Err(MessageProblem::TooLarge));
        assert!(pieces.0.is_empty(), "the pieces of an event that is too large are dropped");
    }

    #[test]
    fn events_that_wait_are_bounded_in_number_size_and_age() {
        let (mut pieces, now) = (Pieces::default(), Instant::now());
        let piece = Bytes::from_static(b"x");
        for n in 0..100 {
            let later = now + Duration::from_millis(n);
            let added = pieces.add(place(&format!("m{n}"), 2, 0), piece.clone(), later);
            assert_eq!(added, Ok(None));
        }
        assert_eq!(pieces.0.len(), MAX_WAITING);
        assert!(pieces.0.contains_key("m99"), "the oldest are dropped");
        let later = now + MAX_AGE + Duration::from_secs(1);
        assert_eq!(pieces.add(place("m99", 2, 1), piece.clone(), later), Ok(None), "dropped");
        assert_eq!(pieces.0.len(), 1);

        let large = Bytes::from(vec![0; MAX_MESSAGE_BYTES]);
        for n in 0..10 {
            let added = pieces.add(place(&format!("l{n}"), 2, 0), large.clone(), later);
            assert_eq!(added, Ok(None));
        }
        let bytes: usize = pieces.0.values().map(Waiting::bytes).sum();
        assert!(bytes <= MAX_WAITING_BYTES + MAX_MESSAGE_BYTES, "{bytes}");
    }
}
