//! Fréchet's distance between two sets of features.
//!
//! Each set is taken for a normal distribution; the distance of two (Dowson and Landau, 1982) is
//!
//! ```text
//! |m - m'|^2 + tr C + tr C' - 2 tr sqrt(sqrt(C) C' sqrt(C))
//! ```
//!
//! It is never an FID here: that name belongs to the features of one network, and these are ours.

/// Sweeps of Jacobi's method; it converges in some ten.
const SWEEPS_MAX: usize = 40;

/// A set of features as a normal distribution.
#[derive(Debug, Clone)]
pub struct Gaussian {
    mean: Vec<f64>,
    /// Row by row; symmetric.
    covariance: Vec<f64>,
}

impl Gaussian {
    /// Mean and covariance of `features`, one entry a picture, all of the same length.
    pub fn of(features: &[Vec<f32>]) -> Gaussian {
        let n = features.first().map_or(0, Vec::len);
        let count = features.len().max(1) as f64;
        let mut mean = vec![0.0; n];
        for one in features {
            mean.iter_mut().zip(one).for_each(|(m, v)| *m += f64::from(*v) / count);
        }
        let mut covariance = vec![0.0; n * n];
        for one in features {
            let off: Vec<f64> = one.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m).collect();
            for (row, a) in covariance.chunks_exact_mut(n.max(1)).zip(&off) {
                row.iter_mut().zip(&off).for_each(|(c, b)| *c += a * b / (count - 1.0).max(1.0));
            }
        }
        Gaussian { mean, covariance }
    }

    /// The distance of two distributions over the same features.
    pub fn distance(&self, other: &Gaussian) -> f64 {
        let n = self.mean.len();
        let apart: f64 = self.mean.iter().zip(&other.mean).map(|(a, b)| (a - b) * (a - b)).sum();
        let trace = |c: &[f64]| (0..n).map(|i| c[i * n + i]).sum::<f64>();
        let root = root(&self.covariance, n);
        let (values, _) = eigen(product(&product(&root, &other.covariance, n), &root, n), n);
        let cross: f64 = values.iter().map(|v| v.max(0.0).sqrt()).sum();
        apart + trace(&self.covariance) + trace(&other.covariance) - 2.0 * cross
    }
}

fn product(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    let mut into = vec![0.0; n * n];
    for (row, a) in into.chunks_exact_mut(n.max(1)).zip(a.chunks_exact(n.max(1))) {
        for (b, a) in b.chunks_exact(n.max(1)).zip(a) {
            row.iter_mut().zip(b).for_each(|(to, b)| *to += a * b);
        }
    }
    into
}

/// The symmetric square root of a symmetric matrix without negative eigenvalues.
fn root(matrix: &[f64], n: usize) -> Vec<f64> {
    let (values, vectors) = eigen(matrix.to_vec(), n);
    let mut into = vec![0.0; n * n];
    for (k, value) in values.iter().enumerate() {
        let root = value.max(0.0).sqrt();
        for i in 0..n {
            let scaled = root * vectors[i * n + k];
            for j in 0..n {
                into[i * n + j] += scaled * vectors[j * n + k];
            }
        }
    }
    into
}

/// Eigenvalues and, as columns, eigenvectors of a symmetric matrix: Jacobi's cyclic method (Golub and Van Loan,
/// Matrix Computations, 8.5).
fn eigen(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut vectors = vec![0.0; n * n];
    (0..n).for_each(|i| vectors[i * n + i] = 1.0);
    let size: f64 = a.iter().map(|v| v * v).sum();
    for _ in 0..SWEEPS_MAX {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j].powi(2)).sum();
        if off <= 1e-24 * size {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p * n + q] != 0.0 {
                    rotate(&mut a, &mut vectors, n, p, q);
                }
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), vectors)
}

/// Makes a(p, q) nought.
fn rotate(a: &mut [f64], vectors: &mut [f64], n: usize, p: usize, q: usize) {
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * a[p * n + q]);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let t = if theta == 0.0 { 1.0 } else { t };
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    let turn = |values: &mut [f64], at: usize, to: usize| {
        let (x, y) = (values[at], values[to]);
        values[at] = c * x - s * y;
        values[to] = s * x + c * y;
    };
    for k in 0..n {
        turn(a, p * n + k, q * n + k);
    }
    for k in 0..n {
        turn(a, k * n + p, k * n + q);
        turn(vectors, k * n + p, k * n + q);
    }
}

#[cfg(test)]
mod tests {
    use super::super::normal::Normal;
    use super::*;

    /// `count` draws of z M' with z normal, `m` added.
    fn draws(seed: u64, count: usize, matrix: &[[f64; 3]; 3], m: [f64; 3]) -> Vec<Vec<f32>> {
        let mut z = vec![0f64; 3 * count];
        Normal::new(seed, 0).fill_f64(&mut z);
        z.chunks_exact(3)
            .map(|z| (0..3).map(|i| (m[i] + (0..3).map(|j| matrix[i][j] * z[j]).sum::<f64>()) as f32).collect())
            .collect()
    }

    #[test]
    fn eigenvalues_and_vectors_make_the_matrix_again() {
        let n = 24;
        let mut z = vec![0f64; n * n];
        Normal::new(3, 0).fill_f64(&mut z);
        let symmetric: Vec<f64> = (0..n * n).map(|k| z[k] + z[k % n * n + k / n]).collect();
        let (values, vectors) = eigen(symmetric.clone(), n);
        for i in 0..n {
            for j in 0..n {
                let sum: f64 = (0..n).map(|k| values[k] * vectors[i * n + k] * vectors[j * n + k]).sum();
                assert!((sum - symmetric[i * n + j]).abs() < 1e-9, "({i}, {j})");
            }
        }
    }

    #[test]
    fn the_distance_of_known_normals_is_found() {
        let diagonal = |a, b, c| [[a, 0.0, 0.0], [0.0, b, 0.0], [0.0, 0.0, c]];
        let of = |seed, m: &_, mean| Gaussian::of(&draws(seed, 200_000, m, mean));
        let a = of(1, &diagonal(1.0, 2.0, 0.5), [0.0; 3]);
        let b = of(2, &diagonal(2.0, 2.0, 1.0), [1.0, 0.0, -2.0]);
        // |m|^2 = 5, deviations apart 1, 0 and 0.5
        assert!((a.distance(&b) - 6.25).abs() < 0.08, "{}", a.distance(&b));
        assert!((a.distance(&b) - b.distance(&a)).abs() < 1e-6);
        assert!(a.distance(&a).abs() < 1e-9);
        // a rotation of both changes nothing
        let (s, c) = (0.6, 0.8);
        let turned = |d: [f64; 3]| [[c * d[0], -s * d[1], 0.0], [s * d[0], c * d[1], 0.0], [0.0, 0.0, d[2]]];
        let x = of(1, &turned([1.0, 2.0, 0.5]), [0.0; 3]);
        let y = of(2, &turned([2.0, 2.0, 1.0]), [c, s, -2.0]);
        assert!((x.distance(&y) - a.distance(&b)).abs() < 1e-3, "{}", x.distance(&y));
    }

    #[test]
    fn fewer_pictures_than_features_are_no_trouble() {
        let few = Gaussian::of(&draws(1, 2, &[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [0.0; 3]));
        // what rounding leaves of the eigenvalues that are nought, under a root
        assert!(few.distance(&few).abs() < 1e-6);
        assert_eq!(Gaussian::of(&[]).distance(&Gaussian::of(&[])), 0.0);
    }
}
