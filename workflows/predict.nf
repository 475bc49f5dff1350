// Vectors of EMBEDDING -> calls. SUMMARISE checks ids and counts, and refuses a sample with a shard missing.
include { CLASSIFY        } from '../modules/local/classify/main'
include { SUMMARISE       } from '../modules/local/summarise/main'
include { libraryDigests  } from './library'
include { shellQuoted ; taskFile } from './model_set'

workflow PREDICT {
    take:
    lists      // these six: of EMBEDDING
    vacant
    chunks
    tables
    embedded
    unframed
    model      // components of the model set: name -> [file, at, sha256]
    made_by    // what each sample's provenance.json says of its models
    settings   // chunk_bp, calibration

    main:
    def library = libraryDigests()
    CLASSIFY(
        embedded,
        taskFile(model.classifier),
        [model.dnabert_s.sha256, model.tokenizer.sha256, model.esm2.sha256],
        library.CLASSIFY,
    )

    // [sample id, chunk files, chunk tables, score tables]; incomplete ones too: SUMMARISE tells
    scores_ch = CLASSIFY.out.scores.mix(unframed.map { meta -> [meta, []] })
    shards_ch = chunks
        .map { meta, fna -> [meta.id, meta, fna] }
        .join(tables.map { meta, table -> [meta.id, table] }, failOnDuplicate: true)
        .join(scores_ch.map { meta, scores -> [meta.id, scores] }, failOnDuplicate: true)
        .map { _id, meta, fna, table, scores -> [groupKey(meta.sample, meta.shards), [fna, table, scores]] }
        .groupTuple(remainder: true)
        .map { key, shards -> [key.toString()] + shards.sort { s -> s[0].name }.transpose().collect { files -> files.flatten() } }
        .mix(vacant.map { meta, _files -> [meta.id, [], [], []] })

    // [[id], records.tsv, shards.tsv, chunk files, chunk tables, score tables]
    parts_ch = lists
        .map { meta, records, shards -> [meta.id, records, shards] }
        .join(shards_ch, failOnDuplicate: true)
        .map { row -> [[id: row[0]]] + row.drop(1) }
    SUMMARISE(parts_ch, settings.chunk_bp, shellQuoted(groovy.json.JsonOutput.toJson(made_by)), settings.calibration, library.SUMMARISE)

    summaries = SUMMARISE.out.summary.map { meta, table -> [meta.id, table] }

    emit:
    summaries // [sample id, summary.tsv]
}
