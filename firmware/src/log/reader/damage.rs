//! What a reader does where no record stands: steps over it, and lets the numbers tell whether one is missing.

use super::super::block::{ALIGN, block_from, nothing_begins};
use super::super::look::{find_first, find_next, was_torn};
use super::super::media::Media;
use super::{BLOCK, Damage, DamageKind, Next, Open, Reader};
use crate::limits::LOOKS_MAX;

impl<M: Media> Reader<'_, M> {
    /// What damaged blocks mean, now that it is known what stands behind them. The numbers tell whether one is missing.
    pub(super) fn resolved(&mut self, open: &Open, next: &Next) -> Option<Damage> {
        let (from, to) = self.pending?;
        let kind = match next {
            Next::Record { seq, is_new: true, .. } if self.at.last.is_some() && !self.is_missing(Some(seq.0)) => {
                DamageKind::Torn
            }
            Next::Record { is_new: true, .. } => DamageKind::Corrupt,
            Next::Empty if !open.is_newest && !self.is_missing(open.below) => DamageKind::Torn,
            Next::Empty => DamageKind::Corrupt,
            _ => return None,
        };
        self.pending = None;
        self.is_explained = true;
        if open.is_newest && matches!(next, Next::Empty) {
            self.done = true;
            self.back(open);
        }
        Some(Damage { segment: open.id, offset: from, bytes: to.saturating_sub(from), kind })
    }

    /// The bytes at the position are no record: steps over them.
    pub(super) fn damage(&mut self, open: &Open) -> Result<Option<Damage>, M::Error> {
        let (at, last) = (self.at.offset, self.at.last);
        let from = at.saturating_add(1);
        if !open.blocks {
            return self.damage_in_a_row(open);
        }
        // of a block that was passed over, what its twin does not have
        let skipped = self.skipped.take();
        let offset = skipped.map_or(at, |block| block + at % BLOCK);
        self.chain.damaged(open.id, offset);
        let end = block_from(from).min(open.bytes);
        if skipped.is_none() && was_torn(self.media, open.id, at)? {
            (self.at.offset, self.is_explained) = (end, true);
            return Ok(Some(Damage { segment: open.id, offset, bytes: end - at, kind: DamageKind::Torn }));
        }
        // no part of a block was left out, so what is whole in it was written with what is broken; of a block that was
        // passed over that comes first, and its twin is then read again
        let counts = |seq, _| open.counts(last, seq);
        let (mut found, mut ends) = (None, false);
        if let Some(block) = skipped {
            let (from, end) = (offset.saturating_add(1), block_from(block + 1).min(open.bytes));
            found = find_next(self.media, open.id, from, end, ALIGN, counts)?;
            self.window.fill(self.media, open.id, at)?;
            ends = nothing_begins(self.window.from(open.id, at), at);
        }
        // where the twin's chain ends, a cut may have left anything behind it
        if found.is_none() && !ends {
            found = find_next(self.media, open.id, from, end, ALIGN, counts)?;
        }
        self.at.offset = found.map_or(end, |(at, _)| at);
        self.salvaged_at = found.map(|(at, _)| at);
        self.pending = Some((self.pending.map_or(offset, |(from, _)| from.min(offset)), self.at.offset));
        Ok(None)
    }

    /// The same where records lie one behind the other.
    fn damage_in_a_row(&mut self, open: &Open) -> Result<Option<Damage>, M::Error> {
        let (at, last) = (self.at.offset, self.at.last);
        self.is_explained = true;
        let found = find_first(self.media, open.id, at.saturating_add(1), open.bytes, |seq| open.counts(last, seq))?;
        let (end, kind) = match found {
            Some((end, seq)) if last.is_some() && !self.is_missing(Some(seq.0)) => (end, DamageKind::Torn),
            Some((end, _)) => (end, DamageKind::Corrupt),
            None if !open.is_newest && self.is_missing(open.below) => (open.bytes.max(at), DamageKind::Corrupt),
            None => (open.bytes.max(at), DamageKind::Torn),
        };
        if found.is_none() && open.is_newest {
            self.done = true; // the writer may be in the middle of it, or died there; and the position stays
        } else {
            self.at.offset = end;
        }
        Ok((end > at).then_some(Damage { segment: open.id, offset: at, bytes: end - at, kind }))
    }

    /// A number is missing though nothing is damaged: a writer was here since, or a block was lost as a whole.
    pub(super) fn gap(&mut self, open: &Open) -> Option<Damage> {
        if self.looks < LOOKS_MAX {
            self.looks += 1;
            self.back(open);
            return None;
        }
        self.is_explained = true;
        Some(Damage { segment: open.id, offset: self.at.offset, bytes: 0, kind: DamageKind::Corrupt })
    }
}
