//! All segmentations of a word, and the best one, in `SentencePiece`'s own order of operations.

/// A piece at a place of a word. Places count characters.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Edge {
    pub begin: u32,
    pub end: u32,
    /// The number of the piece.
    pub piece: u32,
    pub score: f32,
}

/// The number of the piece that an edge of an unknown character has in a [`Word`].
pub(super) const UNKNOWN: u32 = u32::MAX;

/// A word that was read. If it shares edges with the word before, they are sorted by their ends and then by their begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Word {
    /// How often it occurs.
    pub count: f32,
    /// Its length in characters.
    pub length: u32,
    /// The first characters and edges, which are those of the word before. All other edges end after these characters.
    pub shared: Shared,
    /// Whether an edge has the piece [`UNKNOWN`].
    pub has_unknown: bool,
}

/// How many of the first characters and edges of a word.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Shared {
    pub length: u32,
    pub edges: u32,
}

/// The edges of one word, and working memory.
#[derive(Debug, Default)]
pub(super) struct Lattice {
    length: u32,
    /// The first characters and edges whose best paths are known.
    known: Shared,
    /// By begin, then by length, the edge of an unknown character last at its place; or as a [`Word`] has them.
    edges: Vec<Edge>,
    /// Edges by end, each list in the order of `edges`: where the list of each place begins.
    end_starts: Vec<u32>,
    by_end: Vec<u32>,
    /// For each edge: the score of the best path through its end, and the edge before it on that path.
    best: Vec<(f32, u32)>,
    arrivals: Vec<Arrival>,
}

/// The best paths to a place.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    /// The best score.
    best: f32,
    /// The first edge with the best score.
    edge: u32,
    /// The best score of the edges before that.
    earlier: f32,
    /// The best score of all other edges.
    second: f32,
}

/// No edge.
pub(super) const NONE: u32 = u32::MAX;

const NOWHERE: Arrival =
    Arrival { best: f32::NEG_INFINITY, edge: NONE, earlier: f32::NEG_INFINITY, second: f32::NEG_INFINITY };

/// The best path through a word.
#[derive(Debug, Clone, Copy)]
pub(super) struct BestPath {
    pub score: f32,
    /// Its last edge.
    pub last: u32,
    /// By how much it is better than any other path, but for rounding. Infinite if there is no other.
    pub lead: f32,
}

impl Lattice {
    /// Replaces the edges. `read` appends the edges of a word and returns its length in characters.
    pub fn fill(&mut self, read: impl FnOnce(&mut Vec<Edge>) -> u32) {
        self.edges.clear();
        self.known = Shared::default();
        self.length = read(&mut self.edges);
    }

    /// Finds the best path of the next word, and returns the count of the word and the last edge of the path. `read` makes
    /// the edges of the word from those of the word before, or returns `None`.
    pub fn next_best(&mut self, read: impl FnOnce(&mut Vec<Edge>) -> Option<Word>) -> Option<(f32, u32)> {
        let word = read(&mut self.edges)?;
        (self.known, self.length) = (word.shared, word.length);
        Some((word.count, self.find_best_edges().1))
    }

    /// The edges.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// The length of the word in characters.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// The edges that end at a place, those that begin first coming first, after [`Lattice::index_ends`].
    pub fn ending_at(&self, place: u32) -> &[u32] {
        let range = self.end_starts[place as usize] as usize..self.end_starts[place as usize + 1] as usize;
        &self.by_end[range]
    }

    /// Replaces the score of an edge.
    pub fn set_score(&mut self, edge: usize, score: f32) {
        self.edges[edge].score = score;
    }

    /// Finds the best path. Of paths with equal scores, the first edges decide, as in `SentencePiece`.
    pub fn find_best(&mut self) -> BestPath {
        let (score, last) = self.find_best_edges();
        let Self { edges, best, arrivals, length, .. } = self;
        let end = &arrivals[*length as usize];
        let mut lead = end.best - end.second;
        let mut edge = last;
        while edge != NONE {
            let arrival = &arrivals[edges[edge as usize].begin as usize];
            if arrival.edge != NONE {
                lead = lead.min(arrival.best - arrival.second);
            }
            edge = best[edge as usize].1;
        }
        BestPath { score, last, lead }
    }

    /// Finds the best path. Returns its score and last edge.
    fn find_best_edges(&mut self) -> (f32, u32) {
        let Self { edges, best, arrivals, .. } = self;
        // The scores of edges may change after this.
        let known = std::mem::take(&mut self.known);
        let length = self.length as usize;
        best.truncate(known.edges as usize);
        arrivals.truncate(if known.edges == 0 { 0 } else { known.length as usize + 1 });
        arrivals.resize(length + 1, NOWHERE);
        for (number, edge) in edges.iter().enumerate().skip(best.len()) {
            let (score, before) = if edge.begin == 0 {
                (0.0 + edge.score, NONE)
            } else {
                arrivals[edge.begin as usize].extend(edge, &edges[..number], best)
            };
            best.push((score, before));
            let end = &mut arrivals[edge.end as usize];
            if end.edge == NONE || score > end.best {
                end.second = end.best;
                end.earlier = end.best;
                end.best = score;
                end.edge = number as u32;
            } else if score > end.second {
                end.second = score;
            }
        }
        let end = Edge { begin: self.length, end: self.length, piece: 0, score: 0.0 };
        arrivals[length].extend(&end, edges, best)
    }

    /// The score of the best path that ends with this edge, after [`Lattice::find_best`].
    pub fn best_score(&self, edge: u32) -> f32 {
        self.best[edge as usize].0
    }

    /// Calls `visit` with the pieces of the path that ends with `edge`, the last first, after [`Lattice::find_best`].
    pub fn pieces_to(&self, mut edge: u32, mut visit: impl FnMut(u32)) {
        while edge != NONE {
            visit(self.edges[edge as usize].piece);
            edge = self.best[edge as usize].1;
        }
    }

    /// Sorts edges by their ends.
    pub fn index_ends(&mut self) {
        let Self { edges, end_starts, by_end, length, .. } = self;
        end_starts.clear();
        end_starts.resize(*length as usize + 2, 0);
        for edge in &*edges {
            end_starts[edge.end as usize + 1] += 1;
        }
        for place in 1..end_starts.len() {
            end_starts[place] += end_starts[place - 1];
        }
        by_end.clear();
        by_end.resize(edges.len(), 0);
        for (number, edge) in edges.iter().enumerate() {
            let next = &mut end_starts[edge.end as usize];
            by_end[*next as usize] = number as u32;
            *next += 1;
        }
        // Each start is now the end of its list.
        end_starts.rotate_right(1);
        end_starts[0] = 0;
    }
}

impl Arrival {
    /// Returns the best score with `edge` added, and the first edge before it that gives this score. Because of rounding,
    /// a slightly worse path can give the same score.
    #[inline]
    fn extend(&self, edge: &Edge, before: &[Edge], best: &[(f32, u32)]) -> (f32, u32) {
        let score = self.best + edge.score;
        if self.earlier + edge.score < score || self.earlier == f32::NEG_INFINITY {
            return (score, self.edge);
        }
        let is_first = |number: &usize| before[*number].end == edge.begin && best[*number].0 + edge.score >= score;
        (score, (0..before.len()).find(is_first).map_or(self.edge, |number| number as u32))
    }
}
