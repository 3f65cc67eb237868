//! A figure: its samples, what was promised, and how it is shown and kept.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::error::BenchError;
use crate::machine::Machine;

/// What a figure is counted in.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) enum Unit {
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "KiB")]
    Kibibytes,
    #[serde(rename = "MB")]
    Megabytes,
}

impl Unit {
    fn suffix(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Kibibytes => "KiB",
            Self::Megabytes => "MB",
        }
    }
}

/// The middle and the ends of some samples.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) runs: usize,
}

impl Spread {
    /// Of no samples, it is not a number.
    pub(crate) fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let runs = sorted.len();
        Self {
            median: f64::midpoint(at(runs.saturating_sub(1) / 2), at(runs / 2)),
            min: at(0),
            max: at(runs.saturating_sub(1)),
            runs,
        }
    }
}

/// The same thing done without us, measured in turns with ours.
#[derive(Debug, Clone, Serialize)]
struct Peer {
    peer: &'static str,
    peer_median: f64,
    peer_min: f64,
    peer_max: f64,
    /// Ours by the peer's, pair by pair.
    ratio: Spread,
}

/// What was promised: the figure, or its ratio to its peer's where it has one, is at most this.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    pub(crate) figure: &'static str,
    what: &'static str,
    unit: Unit,
    #[serde(flatten)]
    spread: Spread,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<f64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    peer: Option<Peer>,
}

impl Figure {
    pub(crate) fn new(figure: &'static str, what: &'static str, unit: Unit, samples: &[f64]) -> Self {
        Self {
            figure,
            what,
            unit,
            spread: Spread::of(samples),
            target: None,
            peer: None,
        }
    }

    /// With what it may be at most.
    pub(crate) fn at_most(mut self, target: f64) -> Self {
        self.target = Some(target);
        self
    }

    /// Beside pairs of samples, ours first.
    pub(crate) fn against(mut self, peer: &'static str, pairs: &[(f64, f64)]) -> Self {
        let theirs = Spread::of(&pairs.iter().map(|pair| pair.1).collect::<Vec<_>>());
        let ratios: Vec<f64> = pairs.iter().map(|(ours, theirs)| ours / theirs).collect();
        self.peer = Some(Peer {
            peer,
            peer_median: theirs.median,
            peer_min: theirs.min,
            peer_max: theirs.max,
            ratio: Spread::of(&ratios),
        });
        self
    }

    /// Whether it is as promised; `None` where nothing was.
    fn is_kept(&self) -> Option<bool> {
        let value = self
            .peer
            .as_ref()
            .map_or(self.spread.median, |peer| peer.ratio.median);
        self.target.map(|target| value <= target)
    }

    /// One line for a person.
    pub(crate) fn line(&self) -> String {
        let Spread {
            median,
            min,
            max,
            runs,
        } = self.spread;
        let unit = self.unit.suffix();
        let mut line = format!(
            "{:<18} {median:>8.2} {unit} [{min:.2} – {max:.2}, {runs} runs]",
            self.figure
        );
        if let Some(peer) = &self.peer {
            line += &format!(
                "; {} {:.2} {unit}; ratio {:.3} [{:.3} – {:.3}]",
                peer.peer, peer.peer_median, peer.ratio.median, peer.ratio.min, peer.ratio.max
            );
        }
        match (self.is_kept(), self.target) {
            (Some(true), Some(target)) => line += &format!("; at most {target}: kept"),
            (Some(false), Some(target)) => line += &format!("; at most {target}: NOT KEPT"),
            (None, _) | (_, None) => {}
        }
        format!("{line}  ({})", self.what)
    }

    /// Keeps it as `DIRECTORY/FIGURE.json`, with the machine it was measured on.
    pub(crate) fn write(&self, directory: &Path, machine: &Machine) -> Result<(), BenchError> {
        #[derive(Serialize)]
        struct Kept<'a> {
            #[serde(flatten)]
            figure: &'a Figure,
            machine: &'a Machine,
        }
        let path = directory.join(self.figure).with_extension("json");
        let kept = Kept {
            figure: self,
            machine,
        };
        let mut text = serde_json::to_string_pretty(&kept)
            .map_err(std::io::Error::from)
            .map_err(BenchError::io("write a figure as JSON"))?;
        text.push('\n');
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(&path, text))
            .map_err(BenchError::io(format!("write {}", path.display())))
    }
}
