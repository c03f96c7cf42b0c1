//! `--shard`: the part of a grid that one machine of several trains.

use std::{env, fmt, str::FromStr};

/// The variables that engines number the parts of a job with: the part's number, the number of the first and the number of parts, if the engine says so.
const ENGINES: [[&str; 3]; 3] = [
    ["SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT"],
    ["JOB_COMPLETION_INDEX", "", ""],
    ["SKYPILOT_JOB_RANK", "", "SKYPILOT_NUM_JOBS"],
];

/// One of several parts of a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The part, from 1.
    pub part: usize,
    /// The number of parts.
    pub of: usize,
}

impl Shard {
    /// The elements of this part: every `of`-th, so that each part has its share of every scheme and rate.
    pub fn take<T: Clone>(self, all: &[T]) -> Vec<T> {
        all.iter().skip(self.part - 1).step_by(self.of).cloned().collect()
    }

    /// The name of its folder.
    pub fn folder(self) -> String {
        format!("shard-{}-of-{}", self.part, self.of)
    }

    fn read(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let needed = || {
            "it must be I/N, the I-th of N parts from 1 to N, or auto, or auto/N where the engine numbers the parts but does not say how many they are".to_owned()
        };
        let number = |name: &str| variable(name).and_then(|text| text.trim().parse::<usize>().ok());
        let (part, of) = text.trim().split_once('/').map_or((text.trim(), None), |(part, of)| (part, Some(of)));
        let given = of.map(|of| of.parse::<usize>().map_err(|_| needed())).transpose()?;
        let (part, of) = match part {
            "auto" => {
                let engine = ENGINES.into_iter().find(|[id, ..]| number(id).is_some());
                let [id, first, count] = engine.ok_or_else(|| {
                    format!("no engine numbers the parts here: {} are not set", ENGINES.map(|[id, ..]| id).join(", "))
                })?;
                let part = number(id).and_then(|id| id.checked_sub(number(first).unwrap_or(0))).map(|place| place + 1);
                let of = given.or_else(|| number(count));
                (
                    part.unwrap_or(0),
                    of.ok_or_else(|| format!("{id} does not say how many parts there are; give auto/N"))?,
                )
            }
            part => (part.parse().map_err(|_| needed())?, given.ok_or_else(needed)?),
        };
        if (1..=of).contains(&part) { Ok(Self { part, of }) } else { Err(needed()) }
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::read(text, |name| env::var(name).ok())
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.part, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_numbered_by_hand_or_by_the_engine() {
        let slurm = |name: &str| match name {
            "SLURM_ARRAY_TASK_ID" => Some("7".to_owned()),
            "SLURM_ARRAY_TASK_MIN" => Some("5".to_owned()),
            "SLURM_ARRAY_TASK_COUNT" => Some("4".to_owned()),
            _ => None,
        };
        let kubernetes = |name: &str| (name == "JOB_COMPLETION_INDEX").then(|| "0".to_owned());
        let nowhere = |_: &str| None;
        let shard = |part, of| Ok(Shard { part, of });
        assert_eq!(Shard::read("3/8", nowhere), shard(3, 8));
        assert_eq!(Shard::read("auto", slurm), shard(3, 4));
        assert_eq!(Shard::read("auto/8", slurm), shard(3, 8));
        assert_eq!(Shard::read("auto/2", kubernetes), shard(1, 2));
        assert!(Shard::read("auto", kubernetes).is_err_and(|sentence| sentence.contains("auto/N")));
        assert!(Shard::read("auto", nowhere).is_err_and(|sentence| sentence.contains("SLURM_ARRAY_TASK_ID")));
        for wrong in ["", "3", "0/8", "9/8", "1/0", "-1/2", "a/b", "1/2/3", "auto/x"] {
            assert!(Shard::read(wrong, slurm).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_parts_have_everything_once() {
        let all: Vec<usize> = (0..10).collect();
        let mut found: Vec<usize> = (1..=3).flat_map(|part| Shard { part, of: 3 }.take(&all)).collect();
        found.sort_unstable();
        assert_eq!(found, all);
    }
}
