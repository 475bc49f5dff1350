// Vectors of labelled genomes -> a new classifier, as a model set that shares the encoders.
// The test part goes to EVALUATE_CLASSIFIER alone.
include { PREPARE_TRAINING    } from '../modules/local/prepare_training/main'
include { TRAIN_CLASSIFIER    } from '../modules/local/train_classifier/main'
include { EVALUATE_CLASSIFIER } from '../modules/local/evaluate_classifier/main'
include { libraryDigests      } from './library'
include { shellQuoted         } from './model_set'

workflow TRAIN {
    take:
    lists      // these four: of EMBEDDING, with the genomes as its samples
    chunks
    tables
    embedded
    genomes    // text: a row for each genome (workflows/genomes.nf)
    annotations // their files of coding regions
    model      // components of the model set: name -> [file, at, sha256]
    base       // what modelset.json will say of the set
    settings   // chunk_bp, seed, trainer, class_balance, training_frames, max_epochs, calibrate

    main:
    def library = libraryDigests()
    def encoders = [model.dnabert_s.sha256, model.tokenizer.sha256, model.esm2.sha256]

    // sorted, so that -resume finds the task again
    chunk_files_ch = lists
        .mix(chunks, tables)
        .flatMap { row -> row.drop(1) }
        .toSortedList { a, b -> a.name <=> b.name }
    PREPARE_TRAINING(
        genomes,
        chunk_files_ch,
        annotations,
        [settings.chunk_bp, settings.seed, settings.calibrate],
        library.PREPARE_TRAINING,
    )

    // [genome, part, files of a shard]
    sides_ch = PREPARE_TRAINING.out.split
        .splitCsv(header: true, sep: '\t')
        .map { row -> [row.genome, row.split] }
    vectors_ch = embedded
        .map { meta, faa, _fna, dnabert_s, esm2 -> [meta.sample, [faa, dnabert_s, esm2]] }
        .combine(sides_ch, by: 0)
    learning_ch = vectors_ch
        .filter { _genome, _files, part -> part != 'test' }
        .flatMap { _genome, files, _part -> files }
        .toSortedList { a, b -> a.name <=> b.name }
    measuring_ch = vectors_ch
        .filter { _genome, _files, part -> part != 'train' }
        .flatMap { _genome, files, _part -> files }
        .toSortedList { a, b -> a.name <=> b.name }

    TRAIN_CLASSIFIER(
        PREPARE_TRAINING.out.table,
        learning_ch,
        encoders,
        [settings.trainer, settings.seed, settings.class_balance, settings.training_frames, settings.max_epochs ?: 0],
        library.TRAIN_CLASSIFIER,
    )
    EVALUATE_CLASSIFIER(
        PREPARE_TRAINING.out.table.combine(PREPARE_TRAINING.out.split),
        measuring_ch,
        encoders,
        TRAIN_CLASSIFIER.out.trained,
        [base.name, shellQuoted(groovy.json.JsonOutput.toJson(base)), settings.calibrate],
        library.EVALUATE_CLASSIFIER,
    )

    model_set = EVALUATE_CLASSIFIER.out.model_set

    emit:
    model_set // folder
}
