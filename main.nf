#!/usr/bin/env nextflow
// virnucpro-nf: viral or not, for every sequence. Parameters -> checks -> EMBEDDING, then PREDICT ->
// published files, or TRAIN -> a new model set.
include { CHECK_MODEL_SET         } from './modules/local/check_model_set/main'
include { CHECK_SAMPLESHEET       } from './modules/local/check_samplesheet/main'
include { EMBEDDING               } from './subworkflows/local/embedding/main'
include { PREDICT                 } from './workflows/predict'
include { TRAIN                   } from './workflows/train'
include { libraryDigests          } from './subworkflows/local/utils_virnucpro_pipeline/library'
include { checkEnvironment ; checkpointWarning } from './subworkflows/local/utils_virnucpro_pipeline/environment'
include { sayOutcome              } from './subworkflows/local/utils_virnucpro_pipeline/completion'
include { sayWhatToResume         } from './subworkflows/local/utils_virnucpro_pipeline/history'
include { removeIfRefused ; writeParameters } from './subworkflows/local/utils_virnucpro_pipeline/pipeline_info'
include { checkParameters ; helpText ; institutionLine } from './subworkflows/local/utils_virnucpro_pipeline/parameters'
include { modelSetRequest ; reachable ; readJson ; samplesheetRequest } from './subworkflows/local/utils_virnucpro_pipeline/requests'
include { newPublication } from './subworkflows/local/utils_virnucpro_pipeline/publish'
include { closeResults ; publishSample ; publishSet ; publishVersions ; startResults ; stopIncomplete } from './subworkflows/local/utils_virnucpro_pipeline/results'
include { sayWarnings ; sayWhyStopped ; startLine } from './subworkflows/local/utils_virnucpro_pipeline/summary'

workflow {
    def num_samples = new java.util.concurrent.atomic.AtomicInteger() // 0 until the checks have accepted the run
    def values = params
    removeIfRefused(num_samples, values)
    def help = helpText(params, workflow.manifest)
    if (help) {
        println(help)
        System.exit(0)
    }
    def warning = checkParameters(params, workflow.commandLine, args)
    if (warning) {
        log.warn(warning)
    }
    def institution = institutionLine(params)
    if (institution) {
        log.info(institution)
    }
    checkEnvironment(params)
    def no_checkpoints = checkpointWarning(params)
    if (no_checkpoints) {
        log.warn(no_checkpoints)
    }
    sayWhatToResume()
    def run = newPublication(params.outdir, params.publish_dir_mode)
    workflow.onComplete {
        closeResults(run)
        sayWhyStopped()
        sayOutcome(num_samples.get(), values)
    }
    def training = params.workflow == 'train'
    def library = libraryDigests()

    // what the run is asked for, refused before any other task
    def (set_request, set_files, engine_profile) = modelSetRequest(params, workflow.manifest.version)
    def (sheet_request, sheet) = samplesheetRequest(params, launchDir)
    def schema = file("${projectDir}/assets/${training ? 'schema_train' : 'schema_input'}.json", glob: false)
    CHECK_MODEL_SET(set_request, set_files, engine_profile, library.CHECK_MODEL_SET)
    CHECK_SAMPLESHEET(sheet_request, sheet, schema, library.CHECK_SAMPLESHEET)
    model_set = CHECK_MODEL_SET.out.model_set.map { json -> readJson(json) }
    samples = CHECK_SAMPLESHEET.out.samples.map { json -> reachable(readJson(json)) }
    CHECK_SAMPLESHEET.out.warning.subscribe { path -> log.warn(path.text) }
    // wrapped, since combine takes lists apart
    checked = samples.map { all -> [all] }.combine(model_set)
    started = checked
        .combine(CHECK_MODEL_SET.out.model_set)
        .map { all, set, json ->
            startResults(run, all, set, json, training ? params.set_name : null)
            num_samples.set(all.size())
            writeParameters(params)
            log.info(startLine(all, set, params, workflow.manifest.version))
            if (set.note && !training) {
                log.warn(set.note)
            }
            return run
        }
        .first() // the run, once its outdir is ready for results

    EMBEDDING(samples, model_set, params.rna, params.subMap(['min_length', 'max_length']), params.shard_tokens, params.dnabert_s_shards)
    EMBEDDING.out.sample_tables.subscribe { meta, _records, _shards, warnings, _checksums -> sayWarnings(meta.id, warnings) }
    if (training) {
        TRAIN(
            EMBEDDING.out.sample_tables,
            EMBEDDING.out.chunks,
            EMBEDDING.out.chunk_tables,
            EMBEDDING.out.embeddings,
            CHECK_SAMPLESHEET.out.genomes,
            samples.map { all -> all.collect { s -> s.annotation }.findAll().unique().collect { path -> file(path, glob: false) } },
            model_set,
            CHECK_MODEL_SET.out.trained_set,
            params.subMap(['set_name', 'seed', 'trainer', 'class_balance', 'training_frames', 'max_epochs', 'calibrate']),
        )
        TRAIN.out.model_set
            .combine(started)
            .map { set, _run -> publishSet(run, set) }
            .view { set -> "${set.resolve('metrics.tsv').readLines().take(2).join('\n')}\nModel set: ${params.outdir}/${set.name}" }
    }
    else {
        PREDICT(
            EMBEDDING.out.sample_tables,
            EMBEDDING.out.empty_samples,
            EMBEDDING.out.chunks,
            EMBEDDING.out.chunk_tables,
            EMBEDDING.out.embeddings,
            EMBEDDING.out.empty_shards,
            model_set,
            CHECK_MODEL_SET.out.provenance,
        )
        // samples without a result end the run, with the words of error() only in a map
        PREDICT.out.results
            .combine(started)
            .map { id, files, summary, vectors, _run -> publishSample(run, id, files, summary, params.save_embeddings ? vectors : []) }
            .toList()
            .combine(started)
            .map { _row -> stopIncomplete(run) }
    }

    // versions of every process, one file
    channel.topic('versions')
        .map { versions -> versions.text }
        .unique()
        .combine(checked.map { _all, _set -> true })
        .map { text, _accepted -> text }
        .toSortedList()
        .map { texts -> publishVersions(run, texts) }
}
