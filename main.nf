#!/usr/bin/env nextflow
// virnucpro-nf: viral or not, for every sequence. Parameters -> samples -> EMBEDDING, then PREDICT ->
// published files, or TRAIN -> a new model set.
include { EMBEDDING                            } from './workflows/embedding'
include { PREDICT                              } from './workflows/predict'
include { TRAIN                                } from './workflows/train'
include { checkParameters ; helpText ; idleParameters ; schemaParameters } from './workflows/parameters'
include { encoderSettings ; engineFaults       } from './workflows/engine'
include { genomesTable ; newModelSet ; readGenomes } from './workflows/genomes'
include { calibration ; checkCertified ; chunkLength ; frameRule ; modelIdentity ; readModelSet } from './workflows/model_set'
include { readSamples                          } from './workflows/samples'
include { publishModelSet ; publishSummary     } from './workflows/summary'

workflow {
    if (params.help) {
        println(helpText())
        System.exit(0)
    }
    def warning = checkParameters(params, workflow.commandLine, engineFaults(params) + idleParameters(params.workflow, workflow.commandLine))
    if (warning) {
        log.warn(warning)
    }

    def model = readModelSet(params.model_set, params.weights_dir)
    checkCertified(model, params.precision)
    def frame_rule = frameRule(model, params.frame_rule)
    def training = params.workflow == 'train'
    // encoders read chunks of any length; a new classifier is for those it was trained on
    def chunk_bp = chunkLength(model, params.chunk_length, training || params.allow_chunk_length_mismatch)
    def settings = [
        chunk_bp: chunk_bp,
        rna: params.rna,
        frame_rule: frame_rule,
        shard_tokens: params.shard_tokens,
        dnabert_s_shards: params.dnabert_s_shards,
        encoders: encoderSettings(model, params, schemaParameters()),
    ]
    // genomes are samples too
    def samples = training ? readGenomes(params.input.toString(), params.training_frames, launchDir) : readSamples(params.input.toString(), launchDir)
    def about = "chunks of ${chunk_bp} bp, frames ${frame_rule[0]}"
    if (training) {
        def base = newModelSet(model, params.set_name, chunk_bp, frame_rule, params.outdir, params.weights_dir, workflow.manifest.version)
        log.info("virnucpro-nf ${workflow.manifest.version}: training ${params.set_name} on ${samples.size()} genomes, encoders of ${model.name} (${model.digest[0..11]}), ${about}")
        def options = params.subMap(['seed', 'trainer', 'class_balance', 'training_frames', 'max_epochs', 'calibrate'])
        EMBEDDING(samples, model.components, settings)
        TRAIN(
            EMBEDDING.out.lists,
            EMBEDDING.out.chunks,
            EMBEDDING.out.tables,
            EMBEDDING.out.embedded,
            genomesTable(samples),
            samples.collect { s -> s.annotation }.findAll().unique(),
            model.components,
            base,
            settings + options,
        )
        TRAIN.out.model_set.view { set -> "${set.resolve('metrics.tsv').readLines().take(2).join('\n')}\nModel set: ${params.outdir}/${set.name}" }
    }
    else {
        def calibrated = calibration(model, chunk_bp, frame_rule[0], params.viral_prior)
        def made_by = modelIdentity(model, frame_rule, calibrated, workflow.manifest.version) + [rna: params.rna]
        log.info("virnucpro-nf ${workflow.manifest.version}: ${samples.size()} samples, model set ${model.name} (${model.digest[0..11]}), ${about}, scores ${calibrated[0] ? '' : 'not '}calibrated")

        publishModelSet(model, made_by, settings + [calibration: calibrated], params.weights_dir, params.outdir)
        EMBEDDING(samples, model.components, settings)
        PREDICT(
            EMBEDDING.out.lists,
            EMBEDDING.out.vacant,
            EMBEDDING.out.chunks,
            EMBEDDING.out.tables,
            EMBEDDING.out.embedded,
            EMBEDDING.out.unframed,
            model.components,
            made_by,
            settings + [calibration: calibrated],
        )
        // one row for each sample, in sheet order, with the sheet's further columns; missing ones end the run
        PREDICT.out.summaries.toList().map { summaries -> publishSummary(samples, summaries, made_by, params.outdir) }
    }

    // versions of every process, one file
    channel.topic('versions')
        .map { versions -> versions.text }
        .unique()
        .collectFile(name: 'versions.yml', storeDir: "${params.outdir}/pipeline_info", sort: true)
}
