// Sequences -> chunks -> frames -> embeddings: what prediction and training share. Everything is
// joined by key; who uses it checks ids and counts.
include { SPLIT           } from '../../../modules/local/split/main'
include { TRANSLATE       } from '../../../modules/local/translate/main'
include { EMBED_DNABERT_S } from '../../../modules/local/embed_dnabert_s/main'
include { EMBED_ESM2      } from '../../../modules/local/embed_esm2/main'
include { libraryDigests  } from '../utils_virnucpro_pipeline/library'
include { componentInput ; encoderInput ; frameRuleInput } from '../utils_virnucpro_pipeline/model_set'
include { assignPools ; embeddingTasks ; hasFrames ; isSmall } from '../utils_virnucpro_pipeline/pools'

workflow EMBEDDING {
    take:
    samples          // value: list of samples, in sheet order (CHECK_SAMPLESHEET)
    model_set        // value: what the run uses of its model set (CHECK_MODEL_SET)
    rna
    lengths          // min_length, max_length of sequences that are not left out
    shard_tokens
    dnabert_s_shards // shards of a DNABERT-S task

    main:
    def library = libraryDigests()

    // [[id], files, ends, shard tokens]; only the id of a sample enters a task
    samples_ch = samples.flatMap { all ->
        all.collect { s -> [[id: s.id], s.files.collect { path -> file(path, glob: false) }, s.ends, isSmall(s, shard_tokens) ? 0 : shard_tokens] }
    }
    SPLIT(samples_ch, model_set.map { set -> set.chunk_bp }, rna, lengths, library.SPLIT)

    // [shard meta, chunks.fna, checksums]
    shards_ch = SPLIT.out.chunks.flatMap { meta, files, checksums ->
        files.collect { f ->
            def id = f.name.replaceFirst(/[.]chunks[.]fna$/, '')
            [[id: id, sample: meta.id, number: id.tokenize('.').last() as int, shards: files.size()], f, checksums]
        }
    }
    TRANSLATE(shards_ch, model_set.map { set -> frameRuleInput(set) }, library.TRANSLATE)

    // a shard without a frame bypasses the encoders
    frames_ch = TRANSLATE.out.frames.branch { _meta, _fna, _faa, checksums ->
        full: hasFrames(checksums)
        empty: true
    }

    // [task meta, frame files, checksums]; a sample without a shard still counts in its pool
    empty_samples = SPLIT.out.chunks.filter { _meta, files, _checksums -> !files }.map { meta, _files, _checksums -> [meta, []] }
    dnabert_s_tasks_ch = embeddingTasks(
        TRANSLATE.out.frames.map { meta, fna, _faa, checksums -> [meta, fna, checksums] },
        empty_samples,
        samples.map { all -> assignPools(all, shard_tokens, shard_tokens * dnabert_s_shards) },
        dnabert_s_shards,
    )
    esm2_tasks_ch = embeddingTasks(
        TRANSLATE.out.frames.map { meta, _fna, faa, checksums -> [meta, faa, checksums] },
        empty_samples,
        samples.map { all -> assignPools(all, shard_tokens, shard_tokens) },
        1,
    )

    EMBED_DNABERT_S(
        dnabert_s_tasks_ch,
        model_set.map { set -> componentInput(set, 'dnabert_s') },
        model_set.map { set -> componentInput(set, 'tokenizer') },
        model_set.map { set -> encoderInput(set, 'dnabert_s') },
        library.EMBED_DNABERT_S,
    )
    EMBED_ESM2(
        esm2_tasks_ch,
        model_set.map { set -> componentInput(set, 'esm2') },
        model_set.map { set -> encoderInput(set, 'esm2') },
        library.EMBED_ESM2,
    )

    // by shard id
    embeddings = frames_ch.full
        .map { meta, fna, faa, checksums -> [meta.id, meta, faa, fna, checksums] }
        .join(EMBED_DNABERT_S.out.embeddings.flatten().map { h5 -> [h5.name.replaceFirst(/[.]dnabert_s[.]h5$/, ''), h5] }, failOnDuplicate: true)
        .join(EMBED_ESM2.out.embeddings.flatten().map { h5 -> [h5.name.replaceFirst(/[.]esm2[.]h5$/, ''), h5] }, failOnDuplicate: true)
        .map { row -> row.drop(1) }
    empty_shards = frames_ch.empty.map { meta, _fna, _faa, _checksums -> meta }
    chunks = shards_ch.map { meta, fna, _checksums -> [meta, fna] }
    sample_tables = SPLIT.out.tables
    chunk_tables = TRANSLATE.out.tables

    emit:
    sample_tables // [[id], records.tsv, shards.tsv, warnings.txt, checksums of these and of the sample's chunks.fna], for each sample
    empty_samples // [[id], []], for each sample without a shard
    chunks        // [shard meta, chunks.fna]
    chunk_tables  // [shard meta, chunks.tsv, checksums]
    embeddings    // [shard meta, frames.faa, frames.fna, checksums of these two, dnabert_s.h5, esm2.h5]
    empty_shards  // shard meta, of shards without a frame
}
