// Embeddings of labelled genomes -> a new classifier, as a model set that shares the encoders.
// The test part goes to EVALUATE_CLASSIFIER alone.
include { PREPARE_TRAINING    } from '../modules/local/prepare_training/main'
include { TRAIN_CLASSIFIER    } from '../modules/local/train_classifier/main'
include { EVALUATE_CLASSIFIER } from '../modules/local/evaluate_classifier/main'
include { libraryDigests      } from '../subworkflows/local/utils_virnucpro_pipeline/library'
include { encoderDigests      } from '../subworkflows/local/utils_virnucpro_pipeline/model_set'

workflow TRAIN {
    take:
    sample_tables // these four: of EMBEDDING, with the genomes as its samples
    chunks
    chunk_tables
    embeddings
    genomes       // value: a row for each genome (CHECK_SAMPLESHEET)
    annotations   // value: list of their files of coding regions
    model_set     // value: what the run uses of the base set (CHECK_MODEL_SET)
    trained_set   // value: what modelset.json of the new set will say (CHECK_MODEL_SET)
    options       // set_name, seed, trainer, class_balance, training_frames, max_epochs, calibrate

    main:
    def library = libraryDigests()
    digests = model_set.map { set -> encoderDigests(set) }

    // sorted, so that -resume finds the task again
    chunk_files_ch = sample_tables
        .map { meta, records, shards, _warnings, checksums -> [meta, records, shards, checksums] }
        .mix(chunks, chunk_tables)
        .flatMap { row -> row.drop(1) }
        .toSortedList { a, b -> a.name <=> b.name }
    PREPARE_TRAINING(
        genomes.map { table -> table.text },
        chunk_files_ch,
        annotations,
        model_set.map { set -> [set.chunk_bp, options.seed, options.calibrate] },
        library.PREPARE_TRAINING,
    )

    // [genome, part, files of a shard]
    split_ch = PREPARE_TRAINING.out.split
        .splitCsv(header: true, sep: '\t')
        .map { row -> [row.genome, row.split] }
    shard_files_ch = embeddings
        .map { meta, faa, _fna, checksums, dnabert_s, esm2 -> [meta.sample, [faa, dnabert_s, esm2, checksums]] }
        .combine(split_ch, by: 0)
    train_val_ch = shard_files_ch
        .filter { _genome, _files, part -> part != 'test' }
        .flatMap { _genome, files, _part -> files }
        .toSortedList { a, b -> a.name <=> b.name }
    val_test_ch = shard_files_ch
        .filter { _genome, _files, part -> part != 'train' }
        .flatMap { _genome, files, _part -> files }
        .toSortedList { a, b -> a.name <=> b.name }

    TRAIN_CLASSIFIER(
        PREPARE_TRAINING.out.table.combine(PREPARE_TRAINING.out.checksums),
        train_val_ch,
        digests,
        [options.trainer, options.seed, options.class_balance, options.training_frames, options.max_epochs ?: 0],
        library.TRAIN_CLASSIFIER,
    )
    EVALUATE_CLASSIFIER(
        PREPARE_TRAINING.out.table.combine(PREPARE_TRAINING.out.split).combine(PREPARE_TRAINING.out.checksums),
        val_test_ch,
        digests,
        TRAIN_CLASSIFIER.out.trained,
        trained_set.map { json -> json.text },
        [options.set_name, options.calibrate],
        library.EVALUATE_CLASSIFIER,
    )

    model_set = EVALUATE_CLASSIFIER.out.model_set

    emit:
    model_set // folder
}
