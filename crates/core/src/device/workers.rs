//! A thread pool natively, a plain loop in wasm. Work is divided into fixed pieces, so the number of threads changes no result.

#[cfg(not(target_family = "wasm"))]
mod native {
    use rayon::prelude::*;

    /// A pool of threads.
    pub struct Workers(Option<rayon::ThreadPool>);

    impl Workers {
        /// A pool of `threads` threads; `None` for as many as the machine offers.
        pub fn new(threads: Option<usize>) -> Workers {
            // A pool only fails to start if the system refuses threads; the work is then done on the caller's thread.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0)).build().ok();
            Workers(pool)
        }

        /// Number of threads.
        pub fn count(&self) -> usize {
            self.0.as_ref().map_or(1, rayon::ThreadPool::current_num_threads)
        }

        /// Calls `work` once for each item; calls may be nested.
        pub fn for_each<T: Send>(&self, items: &mut [T], work: impl Fn(usize, &mut T) + Send + Sync) {
            match &self.0 {
                Some(pool) if pool.current_num_threads() > 1 => {
                    pool.install(|| items.par_iter_mut().enumerate().for_each(|(index, item)| work(index, item)));
                }
                _ => items.iter_mut().enumerate().for_each(|(index, item)| work(index, item)),
            }
        }
    }
}

#[cfg(target_family = "wasm")]
mod native {
    /// The one thread of a browser's worker.
    pub struct Workers;

    impl Workers {
        /// Ignores the requested number: there is one thread.
        pub fn new(_: Option<usize>) -> Workers {
            Workers
        }

        /// Number of threads.
        pub fn count(&self) -> usize {
            1
        }

        /// Calls `work` once for each item.
        pub fn for_each<T>(&self, items: &mut [T], work: impl Fn(usize, &mut T)) {
            items.iter_mut().enumerate().for_each(|(index, item)| work(index, item));
        }
    }
}

pub use native::Workers;
