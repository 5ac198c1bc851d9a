//! `log(exp(x) + exp(y))` and weighted `exp`, rounded to float32 exactly as `SentencePiece` rounds them, at a fraction of
//! the time.
//!
//! `SentencePiece` computes with the system's float64 `exp` and `log1p`, and rounds the result to float32. A table gives
//! the result to about ten digits. If every number that close rounds to the same float32, that is the result. Otherwise,
//! which is rare, the system's functions decide.

use std::sync::LazyLock;

/// Steps of the table per unit.
const STEPS: f32 = 32.0;
/// Where the table ends. Beyond, `softplus` is below [`ERROR`].
const END: f32 = 24.0;
/// The length of the table: a power of two, so that a mask keeps every index within it.
const LENGTH: usize = 1 << 10;
/// A bound for the error of [`Table::softplus`], and for the difference of two systems' functions.
const ERROR: f64 = 1e-9;
/// A bound for the relative error of [`Table::exp`].
const EXP_ERROR: f64 = 1e-9;
/// Powers of two per octave in the table of `exp`.
const OCTAVE: usize = 64;
/// Adding such a number rounds a float32 or a float64 to an integer, which its last bits have then.
const ROUND: f32 = 12_582_912.0;
const ROUND_DOUBLE: f64 = 6_755_399_441_055_744.0;

/// Coefficients of cubic polynomials for `log(1 + exp(-x))`, and powers of two.
#[derive(Debug)]
pub(super) struct Table {
    softplus: Box<[[f64; 4]; LENGTH]>,
    powers: [f64; OCTAVE],
}

/// The table.
pub(super) static TABLE: LazyLock<Table> = LazyLock::new(Table::new);

impl Table {
    fn new() -> Self {
        let step = 1.0 / f64::from(STEPS);
        let mut softplus = vec![[0.0; 4]; LENGTH];
        for (place, coefficients) in softplus.iter_mut().enumerate().take((END * STEPS) as usize) {
            // The Taylor polynomial.
            let x = place as f64 * step;
            let slope = 1.0 / (1.0 + x.exp());
            let curve = slope * (1.0 - slope);
            *coefficients = [
                (-x).exp().ln_1p(),
                -slope * step,
                curve / 2.0 * step * step,
                -curve * (1.0 - 2.0 * slope) / 6.0 * step * step * step,
            ];
        }
        let powers = std::array::from_fn(|place| (place as f64 / OCTAVE as f64).exp2());
        let softplus = softplus.try_into().expect("it has this length");
        Self { softplus, powers }
    }

    /// Returns log(1 + exp(-x)) for x of at least 0, with an error below [`ERROR`].
    #[inline]
    fn softplus(&self, x: f32) -> f64 {
        let steps = x * STEPS;
        let steps = if steps < END * STEPS { steps } else { END * STEPS };
        let rounded = steps + ROUND;
        let [c0, c1, c2, c3] = self.softplus[rounded.to_bits() as usize & (LENGTH - 1)];
        let t = f64::from(steps - (rounded - ROUND));
        (c0 + c1 * t) + (c2 + c3 * t) * (t * t)
    }

    /// Returns log(exp(x) + exp(y)), of which one may be 0 and its logarithm infinite.
    #[inline]
    pub fn log_sum(&self, x: f32, y: f32) -> f32 {
        let high = if y < x { x } else { y };
        let sum = f64::from(high) + self.softplus((x - y).abs());
        let below = (sum - ERROR) as f32;
        if below.to_bits() == ((sum + ERROR) as f32).to_bits() { below } else { log_sum(x, y) }
    }

    /// Returns exp(x) for x of at most 80, with a relative error below [`EXP_ERROR`] or an error below 1e-30.
    #[inline]
    fn exp(&self, x: f32) -> f64 {
        let x = if x > -70.0 { x } else { -70.0 };
        let parts = f64::from(x) * (OCTAVE as f64 / std::f64::consts::LN_2);
        let rounded = parts + ROUND_DOUBLE;
        let rest = (parts - (rounded - ROUND_DOUBLE)) * (std::f64::consts::LN_2 / OCTAVE as f64);
        let whole = rounded.to_bits().wrapping_sub(ROUND_DOUBLE.to_bits());
        let power = self.powers[whole as usize & (OCTAVE - 1)];
        // The exponent of a float64 is above its 52 other bits.
        let octave = whole & !(OCTAVE as u64 - 1);
        let power = f64::from_bits(power.to_bits().wrapping_add(octave << (52 - OCTAVE.trailing_zeros())));
        let squared = rest * rest;
        power * ((1.0 + rest) + squared * (0.5 + rest * (1.0 / 6.0)))
    }

    /// Returns `sum` + `weight` * exp(`x`), rounded to float32.
    #[inline]
    pub fn add_exp(&self, sum: f32, weight: f64, x: f32) -> f32 {
        let (old, more) = (f64::from(sum), weight * self.exp(x));
        let error = more * EXP_ERROR + weight * 1e-30;
        let below = (old + (more - error)) as f32;
        if below.to_bits() == ((old + (more + error)) as f32).to_bits() { below } else { add_exp(sum, weight, x) }
    }
}

/// Returns log(exp(low) + exp(high)) in `SentencePiece`'s order of operations.
#[cold]
#[inline(never)]
fn log_sum(x: f32, y: f32) -> f32 {
    let (low, high) = if y < x { (y, x) } else { (x, y) };
    if high > low + 50.0 {
        return high;
    }
    (f64::from(high) + f64::from(low - high).exp().ln_1p()) as f32
}

/// Returns `sum` + `weight` * exp(`x`) in `SentencePiece`'s order of operations.
#[cold]
#[inline(never)]
fn add_exp(sum: f32, weight: f64, x: f32) -> f32 {
    (f64::from(sum) + weight * f64::from(x).exp()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_tables_are_as_exact_as_they_say() {
        for number in 0..100_000 {
            let x = number as f32 * 4.0e-4;
            let exact = f64::from(-x).exp().ln_1p();
            assert!((TABLE.softplus(x) - exact).abs() < ERROR / 2.0, "{x}");
            for x in [x, -x, -2.0 * x] {
                let exact = f64::from(x).exp();
                assert!((TABLE.exp(x) - exact).abs() <= exact * EXP_ERROR / 2.0 + 1e-30, "{x}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn sums_round_as_the_systems_functions_do(x in -300.0f32..1.0, by in 0.0f32..60.0, weight in 1u64..1_000_000_000) {
            prop_assert_eq!(TABLE.log_sum(x, x - by).to_bits(), log_sum(x - by, x).to_bits());
            let (sum, weight) = (x.abs() * by, weight as f64);
            prop_assert_eq!(TABLE.add_exp(sum, weight, -by).to_bits(), add_exp(sum, weight, -by).to_bits());
        }
    }
}
