//! One bit per order: what is left of those that were folded away.

/// One bit per slot, all clear at first.
#[derive(Debug, Default)]
pub struct Bitmap(Vec<u64>);

impl Bitmap {
    /// Whether the bit is set.
    pub fn contains(&self, slot: u64) -> bool {
        self.0
            .get((slot / 64) as usize)
            .is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    /// Sets the bit; says whether it was clear.
    pub fn insert(&mut self, slot: u64) -> bool {
        let (word, bit) = ((slot / 64) as usize, 1 << (slot % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }
}
