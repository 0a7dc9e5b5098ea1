//! Figures as people read them.
//!
//! Owns units and rounding: three digits, and a unit that keeps them short.

/// A time, from microseconds.
pub fn time(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{} µs", digits(us)),
        us if us < 1e6 => format!("{} ms", digits(us / 1e3)),
        us => format!("{} s", digits(us / 1e6)),
    }
}

/// A number of things, or of things a second.
pub fn count(number: f64) -> String {
    match number {
        number if number < 1e3 => digits(number),
        number if number < 1e6 => group(number),
        number if number < 1e9 => format!("{} million", digits(number / 1e6)),
        number => format!("{} billion", digits(number / 1e9)),
    }
}

/// A size, from bytes.
pub fn bytes(bytes: f64) -> String {
    const KIB: f64 = 1024.0;
    match bytes {
        bytes if bytes < KIB => format!("{} B", digits(bytes)),
        bytes if bytes < KIB * KIB => format!("{} KiB", digits(bytes / KIB)),
        bytes if bytes < KIB * KIB * KIB => format!("{} MiB", digits(bytes / KIB / KIB)),
        bytes => format!("{} GiB", digits(bytes / KIB / KIB / KIB)),
    }
}

/// Three digits, or all of a whole number under a thousand.
fn digits(number: f64) -> String {
    match number {
        number if number >= 99.95 || number.fract() == 0.0 => format!("{number:.0}"),
        number if number >= 9.995 => format!("{number:.1}"),
        number => format!("{number:.2}"),
    }
}

/// With a comma after the thousands.
fn group(number: f64) -> String {
    let whole = number.round() as u64;
    format!("{},{:03}", whole / 1000, whole % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let times = [0.0, 7.256, 99.96, 850.0, 1234.0, 20_000.0, 2_500_000.0].map(time);
        assert_eq!(times, ["0 µs", "7.26 µs", "100 µs", "850 µs", "1.23 ms", "20 ms", "2.50 s"]);
        let counts = [0.0, 12.5, 999.0, 1000.0, 56_789.4, 3_210_000.0].map(count);
        assert_eq!(counts, ["0", "12.5", "999", "1,000", "56,789", "3.21 million"]);
        let sizes = [0.0, 100.0, 1536.0, 3.5e6, 2e9].map(bytes);
        assert_eq!(sizes, ["0 B", "100 B", "1.50 KiB", "3.34 MiB", "1.86 GiB"]);
    }
}
