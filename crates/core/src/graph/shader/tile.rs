//! Tiles: how the large products are cut into workgroups, and which cut each product has.
//!
//! Which one is fastest depends on the GPU and on the shape, so it can be timed (see `device/gpu/tune.rs`). A product is told apart by the shape of
//! one run and never by their number: so a run keeps its bits in any cohort. Every tile sums its terms in the same order.

use std::{collections::BTreeMap, fmt, str::FromStr};

use super::{Grid, Launch, Memory, Shader, word};

/// Rows and columns of a product that a workgroup computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tile {
    /// 64 rows, 64 columns: light on registers, and on every device good enough.
    #[default]
    Square,
    /// 128 rows, 64 columns.
    Tall,
    /// 128 rows, 128 columns: each number that is loaded is used most often.
    Large,
}

impl Tile {
    /// All of them.
    pub const ALL: [Tile; 3] = [Tile::Square, Tile::Tall, Tile::Large];

    /// Its rows.
    pub fn rows(self) -> usize {
        match self {
            Tile::Square => 64,
            Tile::Tall | Tile::Large => 128,
        }
    }

    /// Its columns.
    pub fn columns(self) -> usize {
        match self {
            Tile::Square | Tile::Tall => 64,
            Tile::Large => 128,
        }
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.rows(), self.columns())
    }
}

/// There is no such tile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no tile `{0}`; there are 64x64, 128x64 and 128x128")]
pub struct UnknownTile(pub String);

impl FromStr for Tile {
    type Err = UnknownTile;

    fn from_str(text: &str) -> Result<Tile, UnknownTile> {
        let named = Tile::ALL.into_iter().find(|tile| tile.to_string() == text);
        named.ok_or_else(|| UnknownTile(text.to_owned()))
    }
}

/// The tile of every product: those that were picked, and one for all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tiles {
    otherwise: Tile,
    picked: BTreeMap<String, Tile>,
}

impl Tiles {
    /// One tile for all products.
    pub fn all(tile: Tile) -> Tiles {
        Tiles { otherwise: tile, picked: BTreeMap::new() }
    }

    /// Gives a product its tile.
    pub fn pick(&mut self, product: String, tile: Tile) {
        self.picked.insert(product, tile);
    }

    /// Whether a product was given its tile.
    pub fn has(&self, product: &str) -> bool {
        self.picked.contains_key(product)
    }

    /// The products that were given one, in the order of their names.
    pub fn picked(&self) -> impl Iterator<Item = (&str, Tile)> {
        self.picked.iter().map(|(product, tile)| (product.as_str(), *tile))
    }

    fn of(&self, product: &str) -> Tile {
        self.picked.get(product).copied().unwrap_or(self.otherwise)
    }
}

/// A product whose tile can be chosen: rows (N, terms) by a frozen or trained matrix, and perhaps by an adapter of `rank`.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Its shader in square tiles, and in those of 128 rows, which has one constant more, `COLUMNS`.
    pub shaders: [&'static Shader; 2],
    /// Terms of each sum.
    pub terms: usize,
    /// Columns of the result.
    pub columns: usize,
    /// Rank of the adapter; 0 without one.
    pub rank: usize,
}

impl Grid<'_> {
    /// Launches a product for all runs in the tile that it has.
    pub fn product(&self, product: Product, params: &[u32], buffers: &[Memory], constants: &[u32]) -> Launch {
        let Product { shaders: [square, large], terms, columns, rank } = product;
        let name = format!("{} {}x{terms}x{columns} rank {rank} constants {constants:?}", square.name, self.rows);
        let tile = self.tiles.of(&name);
        let (shader, constants) = match tile {
            Tile::Square => (square, constants.to_vec()),
            Tile::Tall | Tile::Large => (large, [constants, &[word(tile.columns())]].concat()),
        };
        let groups = [columns.div_ceil(tile.columns()), self.rows.div_ceil(tile.rows()), self.runs];
        let launch = Launch::new(shader, params, buffers, groups).with(&constants);
        Launch { product: Some(name), ..launch }
    }
}
