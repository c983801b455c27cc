SELECT string_agg(j, chr(30)) FILTER (WHERE n < $3::bigint), count(*), max(k0) FILTER (WHERE n = $3::bigint - 1), max(k1) FILTER (WHERE n = $3::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"text":', to_json(t0."text"), ',"remark":', coalesce((to_json(CASE WHEN t0."author_id" = $1::uuid THEN t0."remark" END))::text, 'null'), '}') AS j, (CASE WHEN t0."author_id" = $1::uuid THEN t0."remark" END)::text AS k0, (t0."id")::text AS k1
    FROM "reviews" AS t0
    WHERE (t0."hidden" <> $2::boolean
      OR t0."author_id" = $1::uuid)
    ORDER BY CASE WHEN t0."author_id" = $1::uuid THEN t0."remark" END, t0."id"
    LIMIT $3::bigint) AS page) AS numbered
