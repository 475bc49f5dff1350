// Which shards share an embedding task. The grouping is a pure function of the samplesheet, the
// file sizes and SPLIT's shards, never of the order in which tasks end, so `-resume` finds it again.

// ESM-2 tokens per byte of input: 0.3 a base pair (TOKENS_PER_BP in sequences/split_task.py), and about
// four letters in a compressed byte.
def estimateTokens(paths) {
    def files = paths.collect { path -> file(path, glob: false) }
    def bytes = files.collect { f -> f.size() * (f.name ==~ /.*\.(gz|bz2|xz|zst|bam)/ ? 4 : 1) }
    return (bytes.sum() * 0.3) as long
}

// A sample below one shard is not cut, and shares its task with others.
def isSmall(sample, shard_tokens) {
    return estimateTokens(sample.files) < shard_tokens
}

// Returns id -> groupKey of its pool for the small samples. Pools fill up in sheet order; each
// closes when the next sample would take it over `aim_tokens`.
def assignPools(samples, shard_tokens, aim_tokens) {
    def pools = []
    def filled = 0
    samples.findAll { s -> isSmall(s, shard_tokens) }.each { s ->
        def tokens = estimateTokens(s.files)
        if (!pools || filled + tokens > aim_tokens) {
            pools << []
            filled = 0
        }
        pools[-1] << s.id
        filled += tokens
    }
    return pools.collectEntries { ids ->
        def key = groupKey("pool of ${ids[0]}".toString(), ids.size())
        ids.collectEntries { id -> [id, key] }
    }
}

// Returns the key of the task that a shard belongs to: its sample's pool, or else the next
// `shards_per_task` shards of its own sample.
def taskKey(meta, pools, shards_per_task) {
    if (pools[meta.sample]) {
        return pools[meta.sample]
    }
    def group = (meta.number - 1).intdiv(shards_per_task)
    def size = Math.min(shards_per_task, meta.shards - group * shards_per_task)
    return groupKey("${meta.sample} ${group}".toString(), size)
}

// Returns whether TRANSLATE wrote frames, by its checksums: a file that was cut to nothing since must
// reach the task that refuses it. These are the digits of no bytes.
def hasFrames(checksums) {
    return !checksums.text.contains('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
}

// Returns a channel of tasks, [meta, frame files, checksums], out of [shard meta, frame file, checksums] and of the samples
// without a shard, [sample meta, []], which fill their place in a pool. A pool that lost a sample to an
// error comes last. Tasks without any frame are left out. `pools_ch` is the one value of assignPools.
def embeddingTasks(frames_ch, empty_samples_ch, pools_ch, shards_per_task) {
    return frames_ch
        .combine(pools_ch)
        .map { meta, frames, checksums, pools -> [taskKey(meta, pools, shards_per_task), [meta.id, hasFrames(checksums) ? [frames, checksums] : []]] }
        .mix(
            empty_samples_ch
                .combine(pools_ch)
                .filter { meta, _files, pools -> pools[meta.id] }
                .map { meta, _files, pools -> [pools[meta.id], []] }
        )
        .groupTuple(remainder: true)
        .map { _key, items -> items.findAll { item -> item && item[1] }.sort { item -> item[0] } }
        .filter { items -> items }
        .map { items -> [[id: items[0][0]]] + items.collect { item -> item[1] }.transpose() }
}
