"""What people agreed to becomes a set of uses; the free text of today becomes a note, and is never interpreted."""

import django.contrib.postgres.fields
import django.contrib.postgres.functions
import django.db.models.deletion
import django.db.models.functions.comparison
import django.db.models.functions.text
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('annotate', '0003_gold_sources'),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name='run',
            name='announces_round_finished',
        ),
        migrations.RenameField(
            model_name='identitygroup',
            old_name='consent_scope',
            new_name='consent_note',
        ),
        migrations.AddField(
            model_name='identitygroup',
            name='consent_stated_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='identitygroup',
            name='consent_stated_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='identitygroup',
            name='consent_stated_in',
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name='identitygroup',
            name='consent_uses',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('show', 'show to annotators'), ('train', 'train models'), ('evaluate', 'evaluate models'), ('publish', 'publish their media')], max_length=16), blank=True, null=True, size=None),
        ),
        migrations.AddField(
            model_name='identitygroup',
            name='pseudonym',
            field=models.CharField(db_default=django.db.models.functions.text.Concat(models.Value('person-'), django.db.models.functions.text.Left(django.db.models.functions.text.Replace(django.db.models.functions.comparison.Cast(django.contrib.postgres.functions.RandomUUID(), models.TextField()), models.Value('-'), models.Value('')), 16), output_field=models.TextField()), editable=False, max_length=64, unique=True),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='run',
            trigger=pgtrigger.compiler.Trigger(name='announces_round_finished', sql=pgtrigger.compiler.UpsertTriggerSql(func="\n            IF NEW.round_id IS NOT NULL AND NEW.status = 'done' AND OLD.status <> 'done'\n                    AND (NEW.stage = 'evaluate' AND NEW.candidate_id IS NOT NULL\n                        OR NEW.stage = 'dpo' AND NOT EXISTS (\n                        SELECT 1 FROM annotate_instance i JOIN annotate_identitygroup g ON g.id = i.group_id\n                        WHERE g.split = 'eval' AND g.truth IS NOT NULL\n                        AND (coalesce(g.consent_uses @> ARRAY['evaluate']::varchar[], false) AND coalesce(g.consent_expires_on >= CURRENT_DATE, true)))) THEN\n                INSERT INTO annotate_webhookmessage\n                    (endpoint_id, number, event, data, created_at, attempts, next_attempt_at, answer)\n                SELECT id, gen_random_uuid(), 'round.finished', jsonb_build_object('round', NEW.round_id, 'run', NEW.id, 'stage', NEW.stage), now(), 0, now(), ''\n                FROM annotate_webhookendpoint WHERE ended_at IS NULL AND 'round.finished' = ANY (events);\n            END IF;\n            RETURN NULL;\n        ", hash='683c5055f768a0c675bc961e9d02727e6b797740', operation='UPDATE', pgid='pgtrigger_announces_round_finished_429f6', table='annotate_run', when='AFTER')),
        ),
        migrations.AddConstraint(
            model_name='identitygroup',
            constraint=models.CheckConstraint(condition=models.Q(('consent_uses', None), ('consent_uses__contained_by', ['show', 'train', 'evaluate', 'publish']), _connector='OR'), name='annotate_identitygroup_consent_uses_known'),
        ),
        migrations.AddConstraint(
            model_name='identitygroup',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('consent_stated_at', None), ('consent_stated_by', None), ('consent_stated_in', ''), ('consent_uses', None)), models.Q(('consent_stated_at__isnull', False), ('consent_uses__isnull', False), models.Q(models.Q(('consent_stated_by__isnull', False), ('consent_stated_in', '')), models.Q(('consent_stated_by', None), models.Q(('consent_stated_in', ''), _negated=True)), _connector='OR')), _connector='OR'), name='annotate_identitygroup_consent_is_stated_by_somebody'),
        ),
    ]
