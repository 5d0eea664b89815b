import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotate", "0006_round_state_rows")]

    operations = [
        # A column cannot become a generated one.
        migrations.RemoveField("round", "is_open"),
        migrations.AddField(
            "round",
            "is_open",
            models.GeneratedField(
                db_persist=True, expression=models.Q(state="open"), output_field=models.BooleanField()
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="consensus",
            trigger=pgtrigger.compiler.Trigger(
                name="keeps_dominant_verdicts",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    constraint="CONSTRAINT",
                    func="\n        IF EXISTS (\n            SELECT FROM annotate_preferencepair x JOIN annotate_videopair p ON p.id = x.pair_id\n            WHERE x.pair_id = OLD.pair_id AND x.joint_state = 'dominant' AND (\n                x.chosen_id NOT IN (p.first_id, p.second_id) OR x.rejected_id NOT IN (p.first_id, p.second_id)\n                OR 2 <> (SELECT count(*) FROM annotate_consensus c WHERE c.pair_id = x.pair_id\n                         AND c.verdict = CASE x.chosen_id WHEN p.first_id THEN 'first' ELSE 'second' END))\n        ) THEN\n            RAISE EXCEPTION 'pair % is dominant, so both tracks'' verdicts must favour its chosen video', OLD.pair_id\n                USING ERRCODE = '23514';\n        END IF;\n        RETURN NULL;\n    ",
                    hash="3c7655fc5abe656358a8bfb8df45e39e337c7723",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_keeps_dominant_verdicts_8c87b",
                    table="annotate_consensus",
                    timing="DEFERRABLE INITIALLY DEFERRED",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="preferencepair",
            trigger=pgtrigger.compiler.Trigger(
                name="dominant_needs_verdicts",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (NEW.\"joint_state\" = 'dominant')",
                    constraint="CONSTRAINT",
                    func="\n        IF EXISTS (\n            SELECT FROM annotate_preferencepair x JOIN annotate_videopair p ON p.id = x.pair_id\n            WHERE x.pair_id = NEW.pair_id AND x.joint_state = 'dominant' AND (\n                x.chosen_id NOT IN (p.first_id, p.second_id) OR x.rejected_id NOT IN (p.first_id, p.second_id)\n                OR 2 <> (SELECT count(*) FROM annotate_consensus c WHERE c.pair_id = x.pair_id\n                         AND c.verdict = CASE x.chosen_id WHEN p.first_id THEN 'first' ELSE 'second' END))\n        ) THEN\n            RAISE EXCEPTION 'pair % is dominant, so both tracks'' verdicts must favour its chosen video', NEW.pair_id\n                USING ERRCODE = '23514';\n        END IF;\n        RETURN NULL;\n    ",
                    hash="306b66d51afcdc4e144ff07edf4b4300b3264bcd",
                    operation="INSERT OR UPDATE",
                    pgid="pgtrigger_dominant_needs_verdicts_e0a8b",
                    table="annotate_preferencepair",
                    timing="DEFERRABLE INITIALLY DEFERRED",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="slot",
            trigger=pgtrigger.compiler.Trigger(
                name="leased_while_open",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n                    IF NEW.lease IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.lease IS DISTINCT FROM OLD.lease)\n                        AND NOT (SELECT is_open FROM annotate_round WHERE id = NEW.round_id) THEN\n                        RAISE EXCEPTION 'round % gives out no pairs', NEW.round_id USING ERRCODE = '23514';\n                    END IF;\n                    RETURN NEW;\n                ",
                    hash="f63526018ee767241adead2684055df103fb29b1",
                    operation="INSERT OR UPDATE",
                    pgid="pgtrigger_leased_while_open_eea41",
                    table="annotate_slot",
                    when="BEFORE",
                ),
            ),
        ),
        migrations.AddConstraint(
            model_name="round",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["open", "paused", "closed"])),
                name="annotate_round_state_known",
                violation_error_message="state must be one of: open, paused, closed",
            ),
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="run",
            name="announces_round_finished",
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="run",
            trigger=pgtrigger.compiler.Trigger(
                name="announces_round_finished",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n            IF NEW.round_id IS NOT NULL AND NEW.status = 'done' AND OLD.status <> 'done'\n                    AND (NEW.stage = 'evaluate' AND EXISTS (\n                        SELECT 1 FROM annotate_modelversion v JOIN annotate_run tuned ON tuned.id = v.run_id\n                        WHERE v.id = NEW.candidate_id AND tuned.round_id = NEW.round_id)\n                        OR NEW.stage = 'dpo' AND NOT EXISTS (\n                        SELECT 1 FROM annotate_instance i JOIN annotate_identitygroup g ON g.id = i.group_id\n                        WHERE g.split = 'eval' AND g.truth IS NOT NULL)) THEN\n                INSERT INTO annotate_webhookmessage\n                    (endpoint_id, number, event, data, created_at, attempts, next_attempt_at, answer)\n                SELECT id, gen_random_uuid(), 'round.finished', jsonb_build_object('round', NEW.round_id, 'run', NEW.id, 'stage', NEW.stage), now(), 0, now(), ''\n                FROM annotate_webhookendpoint WHERE ended_at IS NULL AND 'round.finished' = ANY (events);\n            END IF;\n            RETURN NULL;\n        ",
                    hash="2d2e55142c8010a676d4fb78e8e8b5a7265e78b7",
                    operation="UPDATE",
                    pgid="pgtrigger_announces_round_finished_429f6",
                    table="annotate_run",
                    when="AFTER",
                ),
            ),
        ),
    ]
