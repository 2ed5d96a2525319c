//! Numbers from a seed: SplitMix64 (Steele, Lea, Flood 2014).

/// 64 even bits as a number of the normal distribution (Box and Muller 1958), mean 0, deviation 1.
pub fn normal(bits: u64) -> f64 {
    let part = |bits: u64| ((bits & 0xffff_ffff) as f64 + 0.5) / (1u64 << 32) as f64;
    (-2.0 * part(bits).ln()).sqrt() * (part(bits >> 32) * std::f64::consts::TAU).cos()
}

/// A stream of numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A stream for one host, whatever was drawn for others.
    pub fn of_host(seed: u64, host: u32) -> Random {
        let mut random = Random(seed.rotate_left(32) ^ u64::from(host));
        Random(random.draw())
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to but not including `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw().checked_rem(bound).unwrap_or(0)
    }

    /// At least 0 and less than 1.
    pub fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of a list; empty of an empty one.
    pub fn one_of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list.get(self.below(list.len() as u64) as usize).copied().unwrap_or_default()
    }
}
