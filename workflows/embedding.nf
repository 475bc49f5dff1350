// Sequences -> chunks -> frames -> vectors: what prediction and training share. Everything is joined
// by key; who uses it checks ids and counts.
include { SPLIT           } from '../modules/local/split/main'
include { TRANSLATE       } from '../modules/local/translate/main'
include { EMBED_DNABERT_S } from '../modules/local/embed_dnabert_s/main'
include { EMBED_ESM2      } from '../modules/local/embed_esm2/main'
include { taskOptions     } from './engine'
include { libraryDigests  } from './library'
include { taskFile        } from './model_set'
include { assignPools ; embeddingTasks ; isSmall } from './pools'

workflow EMBEDDING {
    take:
    samples    // list of [id, files, ends], in sheet order
    model      // components of the model set: name -> [file, at, sha256]
    settings   // chunk_bp, rna, frame_rule, shard_tokens, dnabert_s_shards, encoders (workflows/engine.nf)

    main:
    def library = libraryDigests()
    def esm2_pools = assignPools(samples, settings.shard_tokens, settings.shard_tokens)
    def dnabert_s_pools = assignPools(samples, settings.shard_tokens, settings.shard_tokens * settings.dnabert_s_shards)

    // [[id], files, ends, shard tokens]; only the id of a sample enters a task
    samples_ch = channel.fromList(
        samples.collect { s -> [[id: s.id], s.files, s.ends, isSmall(s, settings.shard_tokens) ? 0 : settings.shard_tokens] }
    )
    SPLIT(samples_ch, settings.chunk_bp, settings.rna, library.SPLIT)

    // [shard meta, chunks.fna]
    chunks = SPLIT.out.chunks.flatMap { meta, files ->
        files.collect { f ->
            def id = f.name - '.chunks.fna'
            [[id: id, sample: meta.id, number: id.tokenize('.').last() as int, shards: files.size()], f]
        }
    }
    TRANSLATE(chunks, settings.frame_rule, library.TRANSLATE)

    // a shard without a frame bypasses the encoders
    frames_ch = TRANSLATE.out.frames.branch { _meta, _fna, faa ->
        full: faa.size() > 0
        empty: true
    }

    // [task meta, frame files]; a sample without a shard still counts in its pool
    vacant = SPLIT.out.chunks.filter { _meta, files -> !files }
    dnabert_s_tasks_ch = embeddingTasks(
        TRANSLATE.out.frames.map { meta, fna, _faa -> [meta, fna] }, vacant, dnabert_s_pools, settings.dnabert_s_shards
    )
    esm2_tasks_ch = embeddingTasks(
        TRANSLATE.out.frames.map { meta, _fna, faa -> [meta, faa] }, vacant, esm2_pools, 1
    )

    EMBED_DNABERT_S(
        dnabert_s_tasks_ch,
        taskFile(model.dnabert_s),
        taskFile(model.tokenizer),
        taskOptions(settings.encoders.dnabert_s),
        library.EMBED_DNABERT_S,
    )
    EMBED_ESM2(esm2_tasks_ch, taskFile(model.esm2), taskOptions(settings.encoders.esm2), library.EMBED_ESM2)

    // by shard id
    embedded = frames_ch.full
        .map { meta, fna, faa -> [meta.id, meta, faa, fna] }
        .join(EMBED_DNABERT_S.out.embeddings.flatten().map { h5 -> [h5.name - '.dnabert_s.h5', h5] }, failOnDuplicate: true)
        .join(EMBED_ESM2.out.embeddings.flatten().map { h5 -> [h5.name - '.esm2.h5', h5] }, failOnDuplicate: true)
        .map { row -> row.drop(1) }
    unframed = frames_ch.empty.map { meta, _fna, _faa -> meta }
    lists = SPLIT.out.lists
    tables = TRANSLATE.out.tables

    emit:
    lists    // [[id], records.tsv, shards.tsv], for each sample
    vacant   // [[id], []], for each sample without a shard
    chunks   // [shard meta, chunks.fna]
    tables   // [shard meta, chunks.tsv]
    embedded // [shard meta, frames.faa, frames.fna, dnabert_s.h5, esm2.h5]
    unframed // shard meta, of shards without a frame
}
