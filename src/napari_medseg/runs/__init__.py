"""Many runs out of settings and records: cohorts of files in this process or in child processes, and studies.

`inputs` and `outputs` say which files are meant and where results go, `tasks` what is done with each, `work` does it,
`child` and `crew` say where, `resume` what is done already, and `cohort` is the job over all of them.
"""
