// All shards of a sample, checked against SPLIT's list of them -> the sample's result files.
process SUMMARISE {
    tag "${meta.id}"
    label 'process_single'

    input:
    tuple val(meta), path(records), path(shards), path(warnings), path(chunks), path(tables), path(scores), path(checksums)
    val chunk_bp
    stdin // what provenance.json says of the models
    tuple path(calibration), val(calibration_sha256), val(viral_prior) // empty: not calibrated
    val library

    output:
    // nine files, and a manifest with their sha256
    tuple val(meta), path("${meta.id}/{prediction_results.txt,prediction_results_highestscore.csv,sequences.tsv,contigs.tsv,chunks.tsv,regions.bed,regions.gff3,viral.fasta,provenance.json,manifest.json}", arity: '10'), path("${meta.id}.summary.tsv"), emit: results
    tuple val(meta), path("${meta.id}.summarise_warnings.txt"), emit: warnings // beyond those of SPLIT
    path 'versions.yml', topic: versions

    script:
    def prior = viral_prior == '' ? '' : "--viral-prior ${viral_prior}"
    def calibrated = calibration ? "--calibration ${calibration} --calibration-sha256 ${calibration_sha256} ${prior}" : ''
    """
    vnp_summarise.py --sample ${meta.id} --chunk-length ${chunk_bp} ${calibrated} --provenance - \\
        --records ${records} --shards ${shards} --warnings ${warnings} \\
        --chunks ${chunks} --chunk-tables ${tables} --scores ${scores} \\
        --checksums . --process ${task.process} --library ${library}
    """

    stub:
    """
    mkdir ${meta.id}
    printf 'Sequence_ID\\tPrediction\\tscore1\\tscore2\\n' > ${meta.id}/prediction_results.txt
    printf 'Modified_ID\\tIs_Virus\\n' > ${meta.id}/prediction_results_highestscore.csv
    printf 'sequence_id\\tcall\\n' | tee ${meta.id}/sequences.tsv ${meta.id}/chunks.tsv > ${meta.id}/contigs.tsv
    printf '##gff-version 3\\n' > ${meta.id}/regions.gff3
    touch ${meta.id}.summarise_warnings.txt ${meta.id}/regions.bed ${meta.id}/viral.fasta ${meta.id}/provenance.json versions.yml
    printf '{"format_version": 1, "files": {}}\\n' > ${meta.id}/manifest.json
    printf 'sample\\tsequences\\twarnings\\n${meta.id}\\t0\\t\\n' > ${meta.id}.summary.tsv
    """
}
