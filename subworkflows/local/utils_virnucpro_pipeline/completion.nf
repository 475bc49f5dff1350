// The last line of a run.

// Says where the results of a complete run are, or where the reason is found why it is not complete.
def sayOutcome(num_samples, values) {
    if (workflow.success && num_samples) {
        def of_what = "${num_samples} ${values.workflow == 'train' ? 'genome' : 'sample'}${num_samples == 1 ? '' : 's'}"
        def what = values.workflow == 'train' ? "model set ${values.set_name}" : 'summary.tsv, a folder for each sample'
        log.info("Results: ${file(values.outdir, glob: false)} (${what}; ${of_what}, ${workflow.duration})")
    }
    else if (!workflow.success && num_samples && !(workflow.errorMessage ==~ /SIG[A-Z]+/)) {
        log.info("Not complete, after ${workflow.duration}: the cause is above, all details are in ${logFile(workflow.commandLine)}")
    }
}

// Returns the path of Nextflow's log.
def logFile(command_line) {
    def given = (command_line =~ /\s-log[\s=]+('[^']*'|\S+)/)
    def name = given.find() ? given.group(1).replace("'", '') : System.getenv('NXF_LOG_FILE') ?: '.nextflow.log'
    return launchDir.resolve(name)
}
