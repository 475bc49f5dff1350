// --input -> the samples, before any other task.
process CHECK_SAMPLESHEET {
    label 'process_single'

    input:
    stdin // JSON: --input, and the files that it names
    path sheet, stageAs: 'sheet' // empty when --input is not a sheet
    path schema
    val library

    output:
    path 'samples.json', emit: samples
    path 'genomes.tsv', emit: genomes, optional: true
    path 'warning.txt', emit: warning, optional: true
    path 'versions.yml', topic: versions

    script:
    """
    vnp_check_samplesheet.py ${sheet ? "--sheet ${sheet}" : ''} --schema ${schema} \\
        --process ${task.process} --library ${library}
    """
}
