// Embeddings -> calls. SUMMARISE checks ids and counts, and refuses a sample with a shard missing.
include { CLASSIFY        } from '../modules/local/classify/main'
include { SUMMARISE       } from '../modules/local/summarise/main'
include { libraryDigests  } from '../subworkflows/local/utils_virnucpro_pipeline/library'
include { calibrationInput ; componentInput ; encoderDigests } from '../subworkflows/local/utils_virnucpro_pipeline/model_set'

workflow PREDICT {
    take:
    sample_tables // these six: of EMBEDDING
    empty_samples
    chunks
    chunk_tables
    embeddings
    empty_shards
    model_set     // value: what the run uses of its model set (CHECK_MODEL_SET)
    provenance    // value: provenance.json of CHECK_MODEL_SET
    strict        // a frame without a vector is an error

    main:
    def library = libraryDigests()
    CLASSIFY(
        embeddings,
        model_set.map { set -> componentInput(set, 'classifier') },
        model_set.map { set -> encoderDigests(set) },
        strict,
        library.CLASSIFY,
    )

    // [sample id, chunk files, chunk tables, score tables, checksums, embeddings]; incomplete ones too, which SUMMARISE refuses
    scores_ch = CLASSIFY.out.scores.mix(empty_shards.map { meta -> [meta, [], []] })
    vectors_ch = embeddings
        .map { meta, _faa, _fna, _checksums, dnabert_s, esm2 -> [meta.id, [dnabert_s, esm2]] }
        .mix(empty_shards.map { meta -> [meta.id, []] })
    shards_ch = chunks
        .map { meta, fna -> [meta.id, meta, fna] }
        .join(chunk_tables.map { meta, table, checksums -> [meta.id, table, checksums] }, failOnDuplicate: true)
        .join(scores_ch.map { meta, scores, checksums -> [meta.id, scores, checksums] }, failOnDuplicate: true)
        .join(vectors_ch, failOnDuplicate: true)
        .map { _id, meta, fna, table, of_table, scores, of_scores, vectors -> [groupKey(meta.sample, meta.shards), [fna, table, scores, [of_table, of_scores], vectors]] }
        .groupTuple(remainder: true)
        .map { key, shards -> [key.toString()] + shards.sort { s -> s[0].name }.transpose().collect { files -> files.flatten() } }
        .mix(empty_samples.map { meta, _files -> [meta.id, [], [], [], [], []] })

    // [[id], records.tsv, shards.tsv, warnings.txt, chunk files, chunk tables, score tables, checksums, embeddings]
    sample_files_ch = sample_tables
        .map { meta, records, shards, warnings, checksums -> [meta.id, records, shards, warnings, checksums] }
        .join(shards_ch, failOnDuplicate: true)
        .map { id, records, shards, warnings, of_split, fna, tables, scores, checksums, vectors -> [[id: id], records, shards, warnings, fna, tables, scores, [of_split] + checksums, vectors] }
    SUMMARISE(
        sample_files_ch.map { row -> row.take(8) },
        model_set.map { set -> set.chunk_bp },
        provenance.map { json -> json.text }, // its content, so that -resume does not see a new path
        model_set.map { set -> calibrationInput(set) },
        library.SUMMARISE,
    )

    results = SUMMARISE.out.results
        .map { meta, files, summary -> [meta.id, files, summary] }
        .join(sample_files_ch.map { row -> [row[0].id, row[8]] }, failOnDuplicate: true)
    warnings = SUMMARISE.out.warnings

    emit:
    results  // [sample id, files of its folder, summary.tsv, embeddings]
    warnings // [[id], what SUMMARISE has to say of the sample, a line each]
}
