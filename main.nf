#!/usr/bin/env nextflow
// virnucpro-nf: viral or not, for every sequence. Parameters -> samples -> PREDICT -> published files.
include { PREDICT                              } from './workflows/predict'
include { checkParameters ; helpText ; schemaParameters } from './workflows/parameters'
include { encoderSettings ; engineFaults       } from './workflows/engine'
include { calibration ; checkCertified ; chunkLength ; frameRule ; modelIdentity ; readModelSet } from './workflows/model_set'
include { readSamples                          } from './workflows/samples'
include { publishModelSet ; publishSummary     } from './workflows/summary'

workflow {
    if (params.help) {
        println(helpText())
        System.exit(0)
    }
    def warning = checkParameters(params, workflow.commandLine, engineFaults(params))
    if (warning) {
        log.warn(warning)
    }

    def model = readModelSet(params.model_set, params.weights_dir)
    checkCertified(model, params.precision)
    def frame_rule = frameRule(model, params.frame_rule)
    def chunk_bp = chunkLength(model, params.chunk_length, params.allow_chunk_length_mismatch)
    def calibrated = calibration(model, chunk_bp, frame_rule[0], params.viral_prior)
    def made_by = modelIdentity(model, frame_rule, calibrated, workflow.manifest.version)
    def samples = readSamples(params.input.toString(), launchDir)
    def settings = [
        chunk_bp: chunk_bp,
        frame_rule: frame_rule,
        calibration: calibrated,
        shard_tokens: params.shard_tokens,
        dnabert_s_shards: params.dnabert_s_shards,
        encoders: encoderSettings(model, params, schemaParameters()),
    ]
    log.info("virnucpro-nf ${workflow.manifest.version}: ${samples.size()} samples, model set ${model.name} (${model.digest[0..11]}), chunks of ${chunk_bp} bp, frames ${frame_rule[0]}, scores ${calibrated[0] ? '' : 'not '}calibrated")

    publishModelSet(model, made_by, settings, params.weights_dir, params.outdir)
    PREDICT(samples, model.components, made_by, settings)

    // versions of every process, one file
    channel.topic('versions')
        .map { versions -> versions.text }
        .unique()
        .collectFile(name: 'versions.yml', storeDir: "${params.outdir}/pipeline_info", sort: true)

    // one row for each sample, in sheet order, with the sheet's further columns; missing ones end the run
    PREDICT.out.summaries.toList().map { summaries -> publishSummary(samples, summaries, made_by, params.outdir) }
}
