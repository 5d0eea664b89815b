import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotate", "0011_round_state_rows")]

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
                    func="\n        IF EXISTS (\n            SELECT FROM annotate_preferencepair x JOIN annotate_videopair p ON p.id = x.pair_id\n            WHERE x.pair_id = OLD.pair_id AND x.joint_state = 'dominant' AND (\n                x.chosen_id NOT IN (p.first_id, p.second_id) OR x.rejected_id NOT IN (p.first_id, p.second_id)\n                OR 2 <> (SELECT count(*) FROM annotate_consensus c WHERE c.pair_id = x.pair_id\n                         AND c.verdict = CASE x.chosen_id WHEN p.first_id THEN 'first' ELSE 'second' END))\n        ) THEN\n            RAISE EXCEPTION 'pair % is dominant without two verdicts for its chosen video', OLD.pair_id\n                USING ERRCODE = '23514';\n        END IF;\n        RETURN NULL;\n    ",
                    hash="788a2798cc0cb0ec770f6fcaa5b00d8634cd6e7f",
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
                    func="\n        IF EXISTS (\n            SELECT FROM annotate_preferencepair x JOIN annotate_videopair p ON p.id = x.pair_id\n            WHERE x.pair_id = NEW.pair_id AND x.joint_state = 'dominant' AND (\n                x.chosen_id NOT IN (p.first_id, p.second_id) OR x.rejected_id NOT IN (p.first_id, p.second_id)\n                OR 2 <> (SELECT count(*) FROM annotate_consensus c WHERE c.pair_id = x.pair_id\n                         AND c.verdict = CASE x.chosen_id WHEN p.first_id THEN 'first' ELSE 'second' END))\n        ) THEN\n            RAISE EXCEPTION 'pair % is dominant without two verdicts for its chosen video', NEW.pair_id\n                USING ERRCODE = '23514';\n        END IF;\n        RETURN NULL;\n    ",
                    hash="ab78677728631526e1f2063e7bc580c1641ab516",
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
    ]
