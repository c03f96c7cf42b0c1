//! An amount of memory, as people write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes, written `2GiB`, `512 MB` or `1000000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u64); 9] = [
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

impl FromStr for Bytes {
    type Err = String;

    /// Reads a number with or without a unit; a fraction of a unit is rounded down to whole bytes.
    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("\"{text}\" is not an amount of memory; write for example 2GiB, 512MB or 1000000");
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let number = number.replace('_', "");
        let unit = match unit.trim().to_ascii_lowercase().as_str() {
            "" => 1,
            unit => UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refused)?.1,
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(unit).map(Self).ok_or_else(refused);
        }
        let bytes = number.parse::<f64>().map_err(|_| refused())? * unit as f64;
        // A u64 holds every value below 2⁶⁴.
        if bytes < 2f64.powi(64) { Ok(Self(bytes as u64)) } else { Err(refused()) }
    }
}

impl fmt::Display for Bytes {
    /// Exact where the value is a whole number of binary units, else rounded to three digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) = match self.0 {
            0..0x400 => return write!(f, "{} B", self.0),
            0x400..0x10_0000 => ("KiB", 1u64 << 10),
            0x10_0000..0x4000_0000 => ("MiB", 1 << 20),
            0x4000_0000.. => ("GiB", 1 << 30),
        };
        if self.0.is_multiple_of(unit) {
            return write!(f, "{} {name}", self.0 / unit);
        }
        let value = self.0 as f64 / unit as f64;
        let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        write!(f, "{value:.decimals$} {name}")
    }
}

impl Serialize for Bytes {
    /// With a unit where that is exact, else as a plain number of bytes, so that nothing is lost.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.to_string();
        match text.parse::<Self>() {
            Ok(same) if same == *self => serializer.serialize_str(&text),
            _ => serializer.serialize_u64(self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(bytes) => Ok(Self(bytes)),
            Written::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in [
            ("2GiB", 2 << 30),
            ("2 gib", 2 << 30),
            ("1.5 KiB", 1536),
            ("512MB", 512_000_000),
            ("1_000", 1000),
            ("7", 7),
            ("0", 0),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in
            ["", "GiB", "-1", "2 GiBs", "1e400", "99999999999999999999", "1.2.3", "17179869184 GiB", "20000000.5TiB"]
        {
            let error = text.parse::<Bytes>().expect_err(text);
            assert!(error.contains("2GiB"), "{error}");
        }
    }

    #[test]
    fn shows_a_fitting_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (2048, "2 KiB"),
            (3 << 30, "3 GiB"),
            (1_500_000, "1.43 MiB"),
            (123_456_789, "118 MiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn nothing_is_lost_in_json() {
        for bytes in [0, 1, 1023, 1024, 1025, 2 << 30, 123_456_789, u64::MAX] {
            let json = serde_json::to_string(&Bytes(bytes)).expect("bytes are JSON");
            assert_eq!(serde_json::from_str::<Bytes>(&json).expect("what was written is read"), Bytes(bytes));
        }
    }
}
