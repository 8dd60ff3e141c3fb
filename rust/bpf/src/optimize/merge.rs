//! Makes one block of equal ones, and drops what stands before the first real test.
use std::collections::HashMap;

use super::Optimizer;
use crate::cfg::{Op, Stmt, Tail};

impl Optimizer {
    /// Blocks with the same statements, test and ways are one.
    pub(super) fn merge_equal(&mut self) {
        loop {
            self.flow.analyze_levels(&self.blocks, self.root);
            let mut canonical: HashMap<(Vec<Stmt>, Tail), u32> = HashMap::new();
            let mut replaced: HashMap<u32, u32> = HashMap::new();
            for id in self.flow.levels.iter().flatten() {
                let block = &self.blocks[*id as usize];
                let stmts = block.stmts.iter().copied().filter(|s| s.op != Op::Nop).collect();
                let first = *canonical.entry((stmts, block.tail)).or_insert(*id);
                if first != *id {
                    replaced.insert(*id, first);
                }
            }
            if replaced.is_empty() {
                return;
            }
            for block in &mut self.blocks {
                if let Tail::Branch { yes, no, .. } = &mut block.tail {
                    for way in [yes, no] {
                        *way = replaced.get(way).copied().unwrap_or(*way);
                    }
                }
            }
        }
    }

    /// A root whose test goes one way only is not asked.
    pub(super) fn skip_useless_root(&mut self) {
        let mut stmts = std::mem::take(&mut self.blocks[self.root as usize].stmts);
        while let Some((yes, no)) = self.successors(self.root)
            && yes == no
        {
            self.root = yes;
        }
        let root = &mut self.blocks[self.root as usize];
        stmts.append(&mut root.stmts);
        if matches!(root.tail, Tail::Branch { .. }) {
            root.stmts = stmts;
        }
    }
}
