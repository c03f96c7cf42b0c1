//! `cache`: rows kept for later calls, such as the keys and values of a text that is continued. cache (B·C, I) ← x (N, I), positions (N).

use loralab_cpu::{
    Scalar,
    cache::{self, Shape},
};

use super::{Dispatch, Kernel, Node, Pass, Reverse};
use crate::graph::{
    memory::{MicroBatch, Type},
    shader::{Grid, Launch, Memory, Shader, shader, word},
};

shader! {
    FORWARD = "cache/forward", workgroup 256;
    parts { "cache/forward", "lib/elements" }
    params { elements: u32, tokens: u32, context: u32, columns: u32 }
    buffers { read x: f32, read positions: u32, write cache: f32 }
    constants {}
}

/// Writes rows to their positions of a cache, which a device keeps between calls; rows of other positions stay. Reads x and positions; writes the cache.
/// Nothing is trained through it.
#[derive(Clone, Debug)]
pub struct Cache {
    /// Tokens T of a sequence in one call.
    pub tokens: usize,
    /// Positions C that the cache has for each sequence.
    pub context: usize,
    /// Columns I.
    pub columns: usize,
}

impl Kernel for Cache {
    const NAME: &'static str = "cache";
    const SHADERS: &'static [Shader] = &[FORWARD];

    fn outputs(&self) -> Vec<Type> {
        vec![Type::cached(self.context, self.columns)]
    }

    fn flops_per_row(&self, _: Pass) -> usize {
        self.columns
    }

    fn backward(&self, node: &Node, reverse: &mut Reverse) {
        assert!(reverse.gradient(node.writes[0]).is_none(), "no gradient passes through a cache");
    }

    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
        let ([x, positions], [(cache, _)]) = (dispatch.read(), dispatch.write());
        let elements = grid.all_rows() * self.columns;
        let params = [elements, self.tokens, self.context, self.columns].map(word);
        vec![Launch::over(&FORWARD, elements, &params, &[x, positions, cache].map(Memory::Rows))]
    }

    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
        let Cache { tokens, context, columns } = *self;
        let ([x, positions], [(cache, _)]) = (dispatch.read(), dispatch.write());
        micro_batch.values.write_cached(cache, |values, cache| {
            cache::forward(Shape { tokens, context, columns }, values.read(x, columns), values.ids(positions), cache);
        });
    }
}
