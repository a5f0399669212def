//! Whether numbers can be gone on with: a network that gives NaN or infinity has failed, whatever else it gave.

/// The first value that is NaN or infinite, and its place.
pub fn first_not_finite(values: &[f32]) -> Option<(usize, f32)> {
    // one pass without a branch for the usual case
    let bad = values.iter().fold(false, |bad, value| bad | !value.is_finite());
    if !bad {
        return None;
    }
    values.iter().position(|value| !value.is_finite()).map(|at| (at, values[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_kind_is_found() {
        assert_eq!(first_not_finite(&[]), None);
        assert_eq!(first_not_finite(&[0.0, f32::MAX, -f32::MIN_POSITIVE]), None);
        for bad in [f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(first_not_finite(&[1.0, bad, f32::NAN]), Some((1, bad)));
        }
        assert!(first_not_finite(&[1.0, 2.0, f32::NAN]).is_some_and(|(at, value)| at == 2 && value.is_nan()));
    }
}
