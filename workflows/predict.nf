// Sequences -> calls. Everything is joined by key; SUMMARISE checks ids and counts, and refuses a
// sample with a shard missing.
include { SPLIT           } from '../modules/local/split/main'
include { TRANSLATE       } from '../modules/local/translate/main'
include { EMBED_DNABERT_S } from '../modules/local/embed_dnabert_s/main'
include { EMBED_ESM2      } from '../modules/local/embed_esm2/main'
include { CLASSIFY        } from '../modules/local/classify/main'
include { SUMMARISE       } from '../modules/local/summarise/main'
include { taskOptions     } from './engine'
include { libraryDigests  } from './library'
include { shellQuoted ; taskFile } from './model_set'
include { assignPools ; embeddingTasks ; isSmall } from './pools'

workflow PREDICT {
    take:
    samples    // list of [id, files, ends], in sheet order
    model      // components of the model set: name -> [file, at, sha256]
    made_by    // what each sample's provenance.json says of its models
    settings   // chunk_bp, frame_rule, calibration, shard_tokens, dnabert_s_shards, encoders (workflows/engine.nf)

    main:
    def library = libraryDigests()
    def esm2_pools = assignPools(samples, settings.shard_tokens, settings.shard_tokens)
    def dnabert_s_pools = assignPools(samples, settings.shard_tokens, settings.shard_tokens * settings.dnabert_s_shards)

    // [[id], files, ends, shard tokens]; only the id of a sample enters a task
    samples_ch = channel.fromList(
        samples.collect { s -> [[id: s.id], s.files, s.ends, isSmall(s, settings.shard_tokens) ? 0 : settings.shard_tokens] }
    )
    SPLIT(samples_ch, settings.chunk_bp, library.SPLIT)

    // [shard meta, chunks.fna]
    chunks_ch = SPLIT.out.chunks.flatMap { meta, files ->
        files.collect { f ->
            def id = f.name - '.chunks.fna'
            [[id: id, sample: meta.id, number: id.tokenize('.').last() as int, shards: files.size()], f]
        }
    }
    TRANSLATE(chunks_ch, settings.frame_rule, library.TRANSLATE)

    // a shard without a frame bypasses the encoders
    frames_ch = TRANSLATE.out.frames.branch { _meta, _fna, faa ->
        full: faa.size() > 0
        empty: true
    }

    // [task meta, frame files]; a sample without a shard still counts in its pool
    vacant_ch = SPLIT.out.chunks.filter { _meta, files -> !files }
    dnabert_s_tasks_ch = embeddingTasks(
        TRANSLATE.out.frames.map { meta, fna, _faa -> [meta, fna] }, vacant_ch, dnabert_s_pools, settings.dnabert_s_shards
    )
    esm2_tasks_ch = embeddingTasks(
        TRANSLATE.out.frames.map { meta, _fna, faa -> [meta, faa] }, vacant_ch, esm2_pools, 1
    )

    EMBED_DNABERT_S(
        dnabert_s_tasks_ch,
        taskFile(model.dnabert_s),
        taskFile(model.tokenizer),
        taskOptions(settings.encoders.dnabert_s),
        library.EMBED_DNABERT_S,
    )
    EMBED_ESM2(esm2_tasks_ch, taskFile(model.esm2), taskOptions(settings.encoders.esm2), library.EMBED_ESM2)

    // [shard meta, frames.faa, dnabert_s.h5, esm2.h5], by shard id
    embedded_ch = frames_ch.full
        .map { meta, _fna, faa -> [meta.id, meta, faa] }
        .join(EMBED_DNABERT_S.out.embeddings.flatten().map { h5 -> [h5.name - '.dnabert_s.h5', h5] }, failOnDuplicate: true)
        .join(EMBED_ESM2.out.embeddings.flatten().map { h5 -> [h5.name - '.esm2.h5', h5] }, failOnDuplicate: true)
        .map { _id, meta, faa, dnabert_s, esm2 -> [meta, faa, dnabert_s, esm2] }
    CLASSIFY(
        embedded_ch,
        taskFile(model.classifier),
        [model.dnabert_s.sha256, model.tokenizer.sha256, model.esm2.sha256],
        library.CLASSIFY,
    )

    // [sample id, chunk files, chunk tables, score tables]; incomplete ones too: SUMMARISE tells
    scores_ch = CLASSIFY.out.scores.mix(frames_ch.empty.map { meta, _fna, _faa -> [meta, []] })
    shards_ch = chunks_ch
        .map { meta, chunks -> [meta.id, meta, chunks] }
        .join(TRANSLATE.out.tables.map { meta, table -> [meta.id, table] }, failOnDuplicate: true)
        .join(scores_ch.map { meta, scores -> [meta.id, scores] }, failOnDuplicate: true)
        .map { _id, meta, chunks, table, scores -> [groupKey(meta.sample, meta.shards), [chunks, table, scores]] }
        .groupTuple(remainder: true)
        .map { key, shards -> [key.toString()] + shards.sort { s -> s[0].name }.transpose().collect { files -> files.flatten() } }
        .mix(vacant_ch.map { meta, _files -> [meta.id, [], [], []] })

    // [[id], records.tsv, shards.tsv, chunk files, chunk tables, score tables]
    parts_ch = SPLIT.out.lists
        .map { meta, records, shards -> [meta.id, records, shards] }
        .join(shards_ch, failOnDuplicate: true)
        .map { id, records, shards, chunks, tables, scores -> [[id: id], records, shards, chunks, tables, scores] }
    SUMMARISE(parts_ch, settings.chunk_bp, shellQuoted(groovy.json.JsonOutput.toJson(made_by)), settings.calibration, library.SUMMARISE)

    summaries = SUMMARISE.out.summary.map { meta, table -> [meta.id, table] }

    emit:
    summaries // [sample id, summary.tsv]
}
