//! Tiles: the part of a large matrix product that each workgroup computes, and the choice of tile per product.
//!
//! The fastest tile depends on the GPU and on the shape, so it can be timed (see `device/gpu/tune.rs`). A product is identified by the shape of one
//! run and never by the number of runs, so a run has the same bits in any cohort. Every tile sums its terms in the same order.

use std::{collections::BTreeMap, fmt, str::FromStr};

use super::{Grid, Launch, Memory, Shader, word};

/// Rows and columns of a matrix product that one workgroup computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tile {
    /// 64 rows, 64 columns: needs few registers and performs acceptably on every device.
    #[default]
    Square,
    /// 128 rows, 64 columns.
    Tall,
    /// 128 rows, 128 columns: the most uses of each loaded element.
    Large,
}

impl Tile {
    /// All tiles.
    pub const ALL: [Tile; 3] = [Tile::Square, Tile::Tall, Tile::Large];

    /// Rows of the tile.
    pub fn rows(self) -> usize {
        match self {
            Tile::Square => 64,
            Tile::Tall | Tile::Large => 128,
        }
    }

    /// Columns of the tile.
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

/// Error of parsing an unknown tile.
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

/// The tile of every product: one for each product that was picked, and a default for all others.
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

    /// Sets the tile of a product.
    pub fn pick(&mut self, product: String, tile: Tile) {
        self.picked.insert(product, tile);
    }

    /// True if a tile was set for this product.
    pub fn has(&self, product: &str) -> bool {
        self.picked.contains_key(product)
    }

    /// The products whose tiles were set, in the order of their names.
    pub fn picked(&self) -> impl Iterator<Item = (&str, Tile)> {
        self.picked.iter().map(|(product, tile)| (product.as_str(), *tile))
    }

    fn of(&self, product: &str) -> Tile {
        self.picked.get(product).copied().unwrap_or(self.otherwise)
    }
}

/// A matrix product whose tile can be chosen: rows (N, terms) times a frozen or trained matrix, plus an optional adapter of `rank`.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// The shader for square tiles, and the shader for tiles of 128 rows, which has an additional constant `COLUMNS`.
    pub shaders: [&'static Shader; 2],
    /// Terms of each sum.
    pub terms: usize,
    /// Columns of the result.
    pub columns: usize,
    /// Rank of the adapter; 0 without one.
    pub rank: usize,
}

impl Grid<'_> {
    /// The launch of a product for all runs, with the product's tile.
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
